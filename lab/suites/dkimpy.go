package suites

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"postseal/arc"
	"postseal/dkim"
)

// ErrUnavailable: the tests want a program that is not here.
var ErrUnavailable = errors.New("cannot be run here")

const dkimpyPython = "/usr/bin/python3" // the one that Debian's packages are for

type dkimpyCase struct {
	Test    string
	Kind    string // dkim, arc
	Index   int    // of the signature, from the top
	Message string // as octets, in the first 256 code points
	Keys    map[string]*string
	Want    string
}

// readDkimpy runs the tests of dkimpy and keeps what they verify: most of them sign a
// message first. A case is named by its test, and by a number where a test verifies more
// than one message.
func readDkimpy(dir string) ([]Case, error) {
	if out, err := exec.Command(dkimpyPython, "-c", "import nacl, dns").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: they need Python with nacl and dns (apt-get install python3-nacl python3-dnspython): %w: %s", ErrUnavailable, err, lastLine(out))
	}
	var stderr bytes.Buffer
	cmd := exec.Command(dkimpyPython, "-B", "harness/dkimpy.py", dir)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %s", cmd, err, lastLine(stderr.Bytes()))
	}
	var cases []Case
	times := map[string]int{}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var c dkimpyCase
		if err := d.Decode(&c); err == io.EOF {
			return cases, nil
		} else if err != nil {
			return nil, err
		}
		name := c.Test
		if times[c.Test]++; times[c.Test] > 1 {
			name += " " + strconv.Itoa(times[c.Test])
		}
		cases = append(cases, Case{name, c.problem})
	}
}

func lastLine(b []byte) string {
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return lines[len(lines)-1]
}

func (c *dkimpyCase) problem(ctx context.Context) string {
	records := map[string]string{}
	for name, key := range c.Keys {
		if key != nil {
			records[name] = *key
		}
	}
	zone, msg := textZone(records), octets(c.Message)
	got, why := "fail", ""
	switch c.Kind {
	case "arc":
		v := arc.Verifier{Resolver: zone, Now: time.Now}
		r, err := v.Verify(ctx, bytes.NewReader(msg))
		if err != nil {
			return err.Error()
		}
		got, why = string(r.Code), string(r.Reason)
	case "dkim":
		v := dkim.Verifier{Resolver: zone, Now: time.Now} // the tests sign now
		signatures, err := v.Verify(ctx, bytes.NewReader(msg))
		if err != nil {
			return err.Error()
		}
		if c.Index < len(signatures) {
			why = string(signatures[c.Index].Reason)
			if signatures[c.Index].Result == dkim.Pass {
				got = "pass"
			}
		}
	}
	if got != c.Want {
		return fmt.Sprintf("got %s (%s), want %s", got, why, c.Want)
	}
	return ""
}

// octets takes each code point for an octet.
func octets(s string) []byte {
	b := make([]byte, 0, len(s))
	for _, r := range s {
		b = append(b, byte(r))
	}
	return b
}
