package suites

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"postseal/dmarc"
	"postseal/resolver/dnstest"
)

// Status says what a case rests on.
type Status string

// The statuses. Cases with the first three are required; the others are run and counted
// apart.
const (
	DecidedByRFC Status = "rfc"
	Confirmed    Status = "confirmed" // two or more independent verifiers agree
	FromSource   Status = "source"    // the expectation of the project alone
	Disputed     Status = "disputed"  // verifiers differ and the text leaves it open
	Overruled    Status = "overruled" // the source's expectation contradicts the text
)

// OpenCase is one line of a cases.jsonl file: an input, the acceptable values of each
// field of the outcome, and the values that would let a forger in or lose mail.
type OpenCase struct {
	ID        string                     `json:"id"`
	Kind      string                     `json:"kind"`
	Zone      string                     `json:"zone"`
	Now       time.Time                  `json:"now"`
	Discovery dmarc.Discovery            `json:"discovery"`
	In        Input                      `json:"in"`
	Want      map[string]json.RawMessage `json:"want"`
	Unsafe    map[string]json.RawMessage `json:"unsafe"`
	Status    Status                     `json:"status"`
	RFC       string                     `json:"rfc"`
	Note      string                     `json:"note"`

	dir string // that the names of files are relative to
}

// Input holds the inputs of every kind; each kind uses some of them.
type Input struct {
	IP      string   `json:"ip"`
	Helo    string   `json:"helo"`
	From    string   `json:"from"`
	Message string   `json:"message"` // a file
	Text    string   `json:"text"`
	Author  string   `json:"author"`
	SPF     string   `json:"spf"`
	DKIM    []string `json:"dkim"`
	Domain  string   `json:"domain"`
	Field   string   `json:"field"`
}

// Required reports whether the case must pass or be adjudicated.
func (c *OpenCase) Required() bool {
	return c.Status == DecidedByRFC || c.Status == Confirmed || c.Status == FromSource
}

// ReadOpen reads every suite below dir: each directory that holds a cases.jsonl file.
func ReadOpen(dir string) ([]Suite, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*", "cases.jsonl"))
	if err != nil {
		return nil, err
	}
	slices.Sort(files)
	var all []Suite
	for _, file := range files {
		s, err := readOpenSuite(file)
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

func readOpenSuite(file string) (Suite, error) {
	s := Suite{Name: filepath.Base(filepath.Dir(file))}
	f, err := os.Open(file)
	if err != nil {
		return s, err
	}
	defer f.Close()
	const longestLine = 16 << 20
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, longestLine)
	for n := 1; lines.Scan(); n++ {
		if strings.TrimSpace(lines.Text()) == "" {
			continue
		}
		c := &OpenCase{dir: filepath.Dir(file)}
		if err := json.Unmarshal(lines.Bytes(), c); err != nil {
			return s, fmt.Errorf("%s:%d: %w", file, n, err)
		}
		if c.ID == "" || runners[c.Kind] == nil || len(c.Want) == 0 {
			return s, fmt.Errorf("%s:%d: case %q of kind %q has no id, no expectation or an unknown kind", file, n, c.ID, c.Kind)
		}
		s.Cases = append(s.Cases, Case{c.ID, c.Required(), c.Run})
	}
	return s, lines.Err()
}

// zone returns the DNS of the case; without a file every name is NXDOMAIN.
func (c *OpenCase) zone() (*dnstest.Zone, error) {
	if c.Zone == "" {
		return dnstest.Parse()
	}
	text, err := os.ReadFile(filepath.Join(c.dir, c.Zone))
	if err != nil {
		return nil, err
	}
	return dnstest.Parse(string(text))
}

func (c *OpenCase) message() ([]byte, error) { return os.ReadFile(filepath.Join(c.dir, c.In.Message)) }

// clock is the clock of the case.
func (c *OpenCase) clock() time.Time {
	if c.Now.IsZero() {
		return time.Now()
	}
	return c.Now
}
