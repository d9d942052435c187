package bundle

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postseal"
	"postseal/lab/suites"
)

// TestSuitesRerun: the bundle of every case of the SPF suites, as the check of a message
// whose author is the sender, gives the verdict again.
func TestSuitesRerun(t *testing.T) {
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "blitiri.com.ar/go/spf").Output()
	if err != nil {
		t.Skipf("the module that holds the suites is not here: %v", err)
	}
	n := 0
	for _, s := range suites.ModuleSuites() {
		cases, err := suites.ReadSPF(filepath.Join(strings.TrimSpace(string(dir)), "testdata", s.File))
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range cases {
			n++
			t.Run(s.Name+"/"+c.Name, func(t *testing.T) {
				v, err := postseal.New(postseal.Config{Resolver: c.Zone, Now: func() time.Time { return time.Unix(1_790_000_000, 0).UTC() }})
				if err != nil {
					t.Fatal(err)
				}
				domain := c.MailFrom[strings.LastIndexByte(c.MailFrom, '@')+1:]
				msg := []byte("From: author@" + domain + "\r\nSubject: x\r\n\r\nhello\r\n")
				r, err := postseal.VerifyReader(t.Context(), v, postseal.Conn{Remote: netip.AddrPortFrom(c.Host, 0)}, c.Helo, c.MailFrom, bytes.NewReader(msg))
				if err != nil {
					t.Fatal(err)
				}
				rerun(t, v, r, msg)
			})
		}
	}
	if n < 150 {
		t.Errorf("only %d cases", n)
	}
}

// TestGeneratedRerun: messages and envelopes made of the vectors by chance, always the same
// ones: octets changed, removed, doubled.
func TestGeneratedRerun(t *testing.T) {
	files, err := filepath.Glob("../testdata/vectors/*/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no vectors found: %v", err)
	}
	random := rand.New(rand.NewPCG(7208, 9989))
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		b, err := Parse(data)
		if err != nil || len(b.Message) == 0 || len(b.Message) > 64<<10 {
			continue
		}
		c, err := b.Config()
		if err != nil {
			t.Fatal(err)
		}
		v, err := postseal.New(c)
		if err != nil {
			continue // a vector of a configuration that is refused
		}
		original, from := b.Message, b.Envelope.From
		for i := range 2 {
			b.Message, b.Envelope.From = mutate(random, original), string(mutate(random, []byte(from)))
			t.Run(fmt.Sprintf("%s-%d", filepath.Base(file), i), func(t *testing.T) {
				r, err := b.RunWith(t.Context(), v)
				if err != nil {
					t.Skipf("no message any more: %v", err)
				}
				rerun(t, v, r, b.Message)
			})
		}
	}
}

// mutate changes a few octets.
func mutate(random *rand.Rand, text []byte) []byte {
	out := bytes.Clone(text)
	for range random.IntN(4) {
		if len(out) == 0 {
			return out
		}
		at := random.IntN(len(out))
		switch random.IntN(4) {
		case 0:
			out[at] = byte(random.IntN(256))
		case 1:
			out = append(out[:at:at], out[at+1:]...)
		case 2:
			out[at] = "\r\n\t :;=@\"\x00"[random.IntN(10)]
		default:
			end := min(len(out), at+random.IntN(40))
			out = append(out[:end:end], out[at:]...)
		}
	}
	return out
}
