package conf

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"

	"postseal/internal/app/rules"
)

// maxFile limits the size of a configuration file.
const maxFile = 1 << 20

// Problem is an error or warning at one position of a configuration.
type Problem struct {
	File    string
	Line    int // from 1; 0 means the file as a whole
	Column  int
	Text    string
	Warning bool // a warning: everything else applies
}

// String is "file:line:col: text".
func (p Problem) String() string {
	text := p.Text
	if p.Warning {
		text = "warning: " + text
	}
	if p.Line == 0 {
		return fmt.Sprintf("%s: %s", p.File, text)
	}
	return fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Column, text)
}

// Error contains every problem of an unusable configuration. Its text has one problem per line.
type Error struct{ Problems []Problem }

// Error lists the problems.
func (e *Error) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// Check finds problems of a configuration on this host. Keys are paths such as "listen.milter".
type Check func(*Config) []KeyProblem

// KeyProblem is a problem with a key.
type KeyProblem struct {
	Key     string
	Text    string
	Warning bool
}

// Load reads the configuration file path, and runs checks if it has no errors. The error is an
// *Error, or the error of reading the file. Warnings come with a usable configuration.
func Load(path string, now time.Time, checks ...Check) (c *Config, warnings []Problem, err error) {
	return LoadShared(path, nil, now, checks...)
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = &Error{[]Problem{{File: path, Text: "is larger than 1 MiB"}}}
	}
	return data, err
}

// Parse reads a configuration; path is for the messages.
func Parse(path string, data []byte, now time.Time, checks ...Check) (c *Config, warnings []Problem, err error) {
	return parse(path, data, nil, now, checks...)
}

func parse(path string, data []byte, shared *Shared, now time.Time, checks ...Check) (c *Config, warnings []Problem, err error) {
	var tree map[string]any
	if err := toml.Unmarshal(data, &tree); err != nil {
		return nil, nil, &Error{[]Problem{syntax(path, data, err)}}
	}
	d := &decoder{file: path, places: places(data), here: len(checks) > 0}
	c = Default()
	if d.namesListener() {
		c.Listen = Listen{SocketMode: c.Listen.SocketMode}
	}
	d.bind(c, tree)
	if c.Bundles.Dir == "none" {
		c.Bundles.Dir = ""
	}
	if shared != nil {
		d.overlay(c, shared)
	}
	d.check(c, now)
	if !d.failed() {
		d.checkExpectations(c, now)
		for _, check := range checks {
			for _, p := range check(c) {
				d.add(p.Key, p.Warning, p.Text)
			}
		}
	}
	slices.SortStableFunc(d.problems, func(a, b Problem) int {
		return cmp.Or(strings.Compare(a.File, b.File), a.Line-b.Line, a.Column-b.Column)
	})
	if d.failed() {
		return nil, nil, &Error{d.problems}
	}
	return c, d.problems, nil
}

// ParsePart reads a part of a configuration that holds only the top-level keys named. It opens no
// file.
func ParsePart(path string, data []byte, now time.Time, keys ...string) (c *Config, warnings []Problem, err error) {
	if len(data) > maxFile {
		return nil, nil, &Error{[]Problem{{File: path, Text: "is larger than 1 MiB"}}}
	}
	var tree map[string]any
	if err := toml.Unmarshal(data, &tree); err != nil {
		return nil, nil, &Error{[]Problem{syntax(path, data, err)}}
	}
	for _, key := range slices.Sorted(maps.Keys(tree)) {
		if !slices.Contains(keys, key) {
			return nil, nil, &Error{[]Problem{{File: path, Text: fmt.Sprintf("%q is not used here; known are %s", key, strings.Join(keys, ", "))}}}
		}
	}
	return Parse(path, data, now)
}

// failed reports whether there is a problem that is not a warning.
func (d *decoder) failed() bool {
	return slices.ContainsFunc(d.problems, func(p Problem) bool { return !p.Warning })
}

func syntax(path string, data []byte, err error) Problem {
	p := Problem{File: path, Text: strings.TrimPrefix(err.Error(), "toml: ")}
	var at *toml.DecodeError
	if errors.As(err, &at) {
		p.Line, p.Column = at.Position()
	}
	p.Text = inWords(data, p.Line, p.Text)
	return p
}

// check finds contradictions between values.
func (d *decoder) check(c *Config, now time.Time) {
	if c.Listen.HTTP != "" && !c.Listen.HTTP.Loopback() && c.Listen.HTTPTokenFile == "" {
		d.warn("listen.http", "other hosts can reach it without authentication: set http_token_file")
	}
	d.checkProxy(c)
	d.distinctListeners(c)
	if c.Limits.Field > c.Limits.Header {
		if _, named := d.places["limits.field"]; named {
			d.problem("limits.field", "a field cannot be larger than [limits] header")
		}
		c.Limits.Field = c.Limits.Header // the default grew since, and a file with a smaller header section stays valid
	}
	if c.SPF.Timeout > c.Limits.Message {
		d.warn("limits.message", "is shorter than [spf] timeout, and ends SPF before its time")
	}
	if c.ReplyURL != "" && !strings.HasPrefix(c.ReplyURL, "https://") && !strings.HasPrefix(c.ReplyURL, "http://") {
		d.problem("reply_url", "%q is not an http or https URL", c.ReplyURL)
	}
	if c.Listen.Public != "" && c.ReplyURL == "" {
		d.warn("listen.public", "no reply links to it: set reply_url, such as \"https://mx.example.net/r\"")
	}
	if (c.Web.AuthHeader != "" || c.Web.RoleHeader != "") && len(c.Web.TrustedProxies) == 0 {
		d.problem("web.auth_header", "no proxy is trusted to set it: name it in trusted_proxies")
	}
	if c.Web.RoleHeader != "" && c.Web.AuthHeader == "" {
		d.problem("web.role_header", "has no effect without auth_header")
	}
	if c.AuthservID != "" && strings.ContainsFunc(c.AuthservID, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`()<>,;:\"/[]?=`, r) }) {
		d.problem("authserv_id", "%q is not a name such as \"mx.example.net\" (RFC 8601 §2.2)", c.AuthservID)
	}
	d.checkStore(c)
	d.checkReport(c)
	d.checkNotify(&c.Notify)
	d.checkSense(c)
	d.checkFiles(c)
	d.checkRelays(c)
	d.checkReplies(c)
	d.checkRules(c, now)
}

// checkFiles warns about missing files that the daemon needs. They are not errors, because the
// configuration may be checked on another host.
func (d *decoder) checkFiles(c *Config) {
	for _, f := range []struct{ key, path string }{{"listen.http_token_file", c.Listen.HTTPTokenFile}, {"web.users", c.Web.Users}, {"store.url_file", c.Store.URLFile}, {"store.message_id_key_file", c.Store.MessageIDKeyFile}, {"report.dkim.key_file", c.Report.DKIM.KeyFile}, {"notify.webhook_file", c.Notify.WebhookFile},
		{"proxy.certificate", c.Proxy.Certificate}, {"proxy.key", c.Proxy.Key}, {"proxy.spool_dir", c.Proxy.SpoolDir}} {
		if f.path == "" {
			continue
		}
		if _, err := os.Stat(f.path); errors.Is(err, fs.ErrNotExist) {
			d.add(f.key, !d.here, fmt.Sprintf("%q does not exist", f.path))
		}
	}
}

func (d *decoder) checkProxy(c *Config) {
	for _, l := range []struct {
		key     string
		address Address
	}{{"smtp", c.Listen.SMTP}, {"submission", c.Listen.Submission}, {"submissions", c.Listen.Submissions}} {
		switch {
		case l.address == "":
		case c.Proxy.NextHop == "":
			d.problem("listen."+l.key, "the proxy has no next hop: set [proxy] next_hop to the mail server it forwards to")
		case l.key != "smtp" && !c.Proxy.Auth:
			d.problem("listen."+l.key, "users cannot log in without [proxy] auth = true")
		}
	}
	if (c.Proxy.Certificate == "") != (c.Proxy.Key == "") {
		d.problem("proxy.certificate", "certificate and key belong together")
	}
	if c.Proxy.Auth && c.Proxy.Certificate == "" {
		d.problem("proxy.auth", "AUTH is offered over TLS alone: [proxy] certificate is missing")
	}
	if c.Proxy.Memory > c.Proxy.Spool || c.Proxy.Message > c.Proxy.Spool {
		d.problem("proxy.spool", "is less than one message may have")
	}
}

func (d *decoder) distinctListeners(c *Config) {
	seen := map[Address]string{}
	for _, l := range []struct {
		key     string
		address Address
	}{{"milter", c.Listen.Milter}, {"policy", c.Listen.Policy}, {"smtp", c.Listen.SMTP}, {"submission", c.Listen.Submission},
		{"submissions", c.Listen.Submissions}, {"http", c.Listen.HTTP}, {"public", c.Listen.Public}} {
		if l.address == "" || strings.HasSuffix(string(l.address), ":0") {
			continue
		}
		if other, taken := seen[l.address]; taken {
			d.problem("listen."+l.key, "%q is already that of %s", l.address, other)
		}
		seen[l.address] = l.key
	}
}

// checkRules compiles the local policy. An error in an expression has its own position.
func (d *decoder) checkRules(c *Config, now time.Time) {
	set, problems := rules.Compile(rules.Config{Exempt: c.Exempt, Rule: c.Rule}, now)
	c.local = set
	for _, p := range problems {
		path := fmt.Sprintf("%s[%d]", p.Table, p.Index)
		if p.Key != "" {
			path += "." + p.Key
		}
		d.add(path, p.Warning, p.Text)
		if at := &d.problems[len(d.problems)-1]; p.Line > 0 {
			at.Line, at.Column = d.within(path, *at, p.Line, p.Column)
		}
	}
}
