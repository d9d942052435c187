package suites

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"postseal/arc"
	"postseal/resolver"
)

// corporaTime is the clock of the cases with signatures, all of which were made before.
var corporaTime = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func corporaClock() time.Time { return corporaTime }

type arcScenario struct {
	Tests   yaml.Node         `yaml:"tests"` // a mapping with some names twice
	Records map[string]string `yaml:"txt-records"`
}

type arcCase struct {
	Message string `yaml:"message"`
	CV      string `yaml:"cv"`
}

// readARC reads the suite of chain validation that the working group used; Mail::DKIM and
// dkimpy ship it.
func readARC(dir string) ([]Case, error) {
	f, err := os.Open(filepath.Join(dir, "t/arc_test_suite/arc-draft-validation-tests.yml"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var cases []Case
	for d := yaml.NewDecoder(f); ; {
		var s arcScenario
		switch err := d.Decode(&s); {
		case err == io.EOF:
			return cases, nil
		case err != nil:
			return nil, fmt.Errorf("%s: %w", f.Name(), err)
		}
		zone := textZone(s.Records)
		for i := 0; i+1 < len(s.Tests.Content); i += 2 {
			var c arcCase
			if err := s.Tests.Content[i+1].Decode(&c); err != nil {
				return nil, fmt.Errorf("%s: %w", f.Name(), err)
			}
			cases = append(cases, Case{s.Tests.Content[i].Value, func(ctx context.Context) string {
				return arcProblem(ctx, zone, c.Message, cmp.Or(strings.ToLower(c.CV), "fail"))
			}})
		}
	}
}

func arcProblem(ctx context.Context, zone *Zone, msg, want string) string {
	v := arc.Verifier{Resolver: zone, Now: corporaClock}
	r, err := v.Verify(ctx, strings.NewReader(crlf(msg)))
	if err != nil {
		return err.Error()
	}
	if string(r.Code) != want {
		return fmt.Sprintf("got %s (%s), want %s", r.Code, r.Reason, want)
	}
	return ""
}

// crlf ends every line with CRLF.
func crlf(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\n", "\r\n")
}

// textZone holds a TXT record a name; lines of one record are its strings.
func textZone(records map[string]string) *Zone {
	z := &Zone{records: map[string]map[resolver.Type][]resolver.RR{}, failures: map[string]resolver.Kind{}}
	for name, record := range records {
		z.records[target(name)] = map[resolver.Type][]resolver.RR{resolver.TXT: {{Text: strings.ReplaceAll(record, "\n", "")}}}
	}
	return z
}
