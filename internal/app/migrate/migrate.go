// Package migrate reads the configuration of opendkim, opendmarc and policyd-spf and writes
// ours. It reports every option that behaves differently here.
package migrate

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Effect says what happens to an option.
type Effect string

// The effects.
const (
	Same    Effect = "same"    // it is in the new configuration, or postseal does it anyway
	Differs Effect = "differs" // the closest equivalent behaves differently
	Lost    Effect = "lost"    // postseal does not do it
	Manual  Effect = "manual"  // needs a manual check
)

// Note says what happens to one option.
type Note struct {
	Line   int    `json:"line"` // from 1; 0: the option is not in the file and has its default
	Option string `json:"option"`
	Value  string `json:"value"`
	Effect Effect `json:"effect"`
	Text   string `json:"text"`

	Program string `json:"program"` // the program of the option; postseal for a setting of its own
}

// Result is the new configuration, with the notes in the order of the file.
type Result struct {
	Program string `json:"program"`
	Config  string `json:"config"` // TOML, with the notes as comments at the top
	Notes   []Note `json:"notes"`
}

// program is a program whose configuration can be read.
type program struct {
	name    string
	files   []string          // other names of its file
	options map[string]option // by names in lower case
	absent  []string          // options whose defaults behave differently from ours, in this order
	split   func(line string) (name, value string)
}

// option says what happens to a value. value is "" for a missing option.
type option func(s *settings, value string) (Effect, string)

var programs = []*program{&opendkim, &opendmarc, &policydSPF}

// Programs lists the names that Read knows.
func Programs() []string {
	names := make([]string, len(programs))
	for i, p := range programs {
		names[i] = p.name
	}
	return names
}

// Guess returns the program for the name of its file, or "" if the name does not identify it.
func Guess(path string) string {
	base := strings.ToLower(filepath.Base(path))
	for _, p := range programs {
		for _, name := range append([]string{p.name}, p.files...) {
			if strings.Contains(base, name) {
				return p.name
			}
		}
	}
	return ""
}

// Read translates a configuration of the program name.
func Read(name string, data []byte) (*Result, error) { return ReadAll(File{Program: name, Data: data}) }

// File is a configuration of one program.
type File struct {
	Path    string
	Program string
	Data    []byte
	// Open reads a table that the configuration names; nil reads none.
	Open func(path string) ([]byte, error)
}

// ReadAll translates the configurations of several programs into one. If two of them set the
// same key differently, the later one counts.
func ReadAll(files ...File) (*Result, error) {
	s, r, names := &settings{}, &Result{Notes: []Note{}}, []string{}
	s.milter = slices.ContainsFunc(files, func(f File) bool { return f.Program != policydSPF.name })
	for _, f := range files {
		i := slices.IndexFunc(programs, func(p *program) bool { return p.name == f.Program })
		if i < 0 {
			return nil, fmt.Errorf("%q is not one of %s", f.Program, strings.Join(Programs(), ", "))
		}
		names = append(names, f.Program)
		s.open = f.Open
		notes := programs[i].read(s, f.Data)
		for k := range notes {
			notes[k].Program = f.Program
		}
		r.Notes = append(r.Notes, notes...)
	}
	r.Notes = append(r.Notes, s.conclude(names)...)
	r.Program = strings.Join(names, ", ")
	r.Config = r.write(s, len(files) > 1)
	return r, nil
}

func (p *program) read(s *settings, data []byte) (notes []Note) {
	seen := map[string]bool{}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	for n, line := range strings.Split(string(data), "\n") {
		line, _, _ = strings.Cut(line, "#")
		option, value := p.split(strings.TrimSpace(line))
		if option == "" {
			continue
		}
		seen[strings.ToLower(option)] = true
		notes = append(notes, p.note(s, n+1, option, value))
	}
	for _, option := range p.absent {
		if !seen[strings.ToLower(option)] {
			notes = append(notes, p.note(s, 0, option, ""))
		}
	}
	return notes
}

// passwordInURL is the password of a data set such as dsn:mysql://user:password@host/db.
var passwordInURL = regexp.MustCompile(`(://[^:/@\s]*:)[^/\s]*@`)

func (p *program) note(s *settings, line int, name, value string) Note {
	n := Note{Line: line, Option: name, Value: value, Effect: Manual, Text: "is not an option that " + p.name + " documents"}
	if o := p.options[strings.ToLower(name)]; o != nil {
		n.Effect, n.Text = o(s, value)
	}
	if strings.Contains(strings.ToLower(name), "password") {
		n.Value = "(not shown)"
	}
	n.Value = passwordInURL.ReplaceAllString(n.Value, "${1}(not shown)@")
	return n
}

// write returns the new configuration, with different behavior described in comments.
func (r *Result) write(s *settings, several bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# From the configuration of %s. What behaves otherwise:\n", r.Program)
	others := 0
	for _, n := range r.Notes {
		if n.Effect == Same {
			continue
		}
		others++
		fmt.Fprintf(&b, "# - %s (%s, %s): %s\n", printable(strings.TrimSpace(n.Option+" "+n.Value)), n.where(several), n.Effect, n.Text)
	}
	if others == 0 {
		b.WriteString("# - nothing\n")
	}
	b.WriteString("\n" + s.String())
	return b.String()
}

// printable keeps untrusted text within its comment.
func printable(s string) string {
	const longest = 120
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r > '~' {
			return '?'
		}
		return r
	}, s)
	if len(s) > longest {
		return s[:longest-3] + "..."
	}
	return s
}

// settings are the keys of the new configuration, in the order of its tables.
type settings struct {
	keys    []setting
	trusted []string // networks in addition to loopback
	exempt  []string // spf= of [[exempt]] entries
	rules   []string // [[rule]] entries, commented out
	sealers []string // [arc] trusted_sealers
	milter  bool     // the milter replaces one of the programs
	open    func(path string) ([]byte, error)

	testOnly bool // policyd-spf only reports
}

type setting struct{ table, key, value string }

var tables = []string{"", "listen", "network", "dns", "spf", "policy", "dkim", "dmarc", "arc", "replies", "log", "limits"}

// set sets a key to a TOML value. The last one counts.
func (s *settings) set(table, key, value string) {
	for i := range s.keys {
		if s.keys[i].table == table && s.keys[i].key == key {
			s.keys[i].value = value
			return
		}
	}
	s.keys = append(s.keys, setting{table, key, value})
}

func (s *settings) text(table, key, value string) { s.set(table, key, quote(value)) }

// quote writes a basic string of TOML, which has the escapes of JSON.
func quote(s string) string {
	b, err := json.Marshal(strings.ToValidUTF8(s, "?"))
	if err != nil {
		panic(err) // encoding a string cannot fail
	}
	return strings.ReplaceAll(string(b), "\x7f", `\u007f`)
}

func (s *settings) list(table, key string, values []string) {
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = quote(v)
	}
	s.set(table, key, "["+strings.Join(quoted, ", ")+"]")
}

// String is the TOML.
func (s *settings) String() string {
	var b strings.Builder
	for _, table := range tables {
		begun := table == ""
		for _, k := range s.keys {
			if k.table != table {
				continue
			}
			if !begun {
				fmt.Fprintf(&b, "\n[%s]\n", table)
				begun = true
			}
			fmt.Fprintf(&b, "%s = %s\n", k.key, k.value)
		}
	}
	for _, d := range s.exempt {
		fmt.Fprintf(&b, "\n[[exempt]]\nspf = %s\n", quote(d))
	}
	for _, r := range s.rules {
		b.WriteString("\n" + r)
	}
	return b.String()
}

// yes reads a boolean as opendkim and opendmarc do: only its first octet counts.
func yes(value string) bool {
	return value != "" && strings.ContainsRune("TtYy1", rune(value[0]))
}

// words splits a list at commas and white space.
func words(value string) []string {
	return strings.FieldsFunc(value, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' })
}

// networks returns the words of a list that are addresses or networks; rest contains the others.
func networks(entries []string) (prefixes, rest []string) {
	for _, w := range entries {
		if strings.EqualFold(w, "localhost") {
			continue // loopback is trusted anyway
		}
		if p, err := netip.ParsePrefix(w); err == nil && p.Bits() > 0 { // not everyone
			if p.Addr().Is4In6() && p.Bits() >= 96 {
				p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
			}
			prefixes = append(prefixes, p.Masked().String())
		} else if ip, err := netip.ParseAddr(w); err == nil {
			prefixes = append(prefixes, ip.Unmap().String())
		} else {
			rest = append(rest, w)
		}
	}
	slices.Sort(prefixes)
	return slices.Compact(prefixes), rest
}

// exclude removes the networks that contain what an entry with "!" excludes, because an
// excluded address must not become trusted. An exclusion that is not an address removes
// everything.
func exclude(prefixes, rest []string) (left, excluded []string) {
	left = prefixes
	for _, w := range rest {
		name, ok := strings.CutPrefix(w, "!")
		if !ok {
			continue
		}
		excluded = append(excluded, w)
		out, _ := networks([]string{name})
		left = slices.DeleteFunc(slices.Clone(left), func(p string) bool { return len(out) == 0 || overlap(p, out[0]) })
	}
	return left, excluded
}

// overlap reports whether two networks or addresses have an address in common.
func overlap(a, b string) bool {
	parse := func(s string) netip.Prefix {
		if p, err := netip.ParsePrefix(s); err == nil {
			return p
		}
		ip, _ := netip.ParseAddr(s)
		return netip.PrefixFrom(ip, ip.BitLen())
	}
	return parse(a).Overlaps(parse(b))
}

// Options of several programs.

// always returns an option with a fixed outcome, whatever its value.
func always(e Effect, text string) option {
	return func(*settings, string) (Effect, string) { return e, text }
}

func authservID(s *settings, value string) (Effect, string) {
	switch strings.ToUpper(value) {
	case "HOSTNAME", "HEADER", "":
		return Same, "the host name is the default"
	}
	if !strings.Contains(value, ".") {
		return Differs, "a name without a dot may be that of another server too (RFC 8601 §2.5): the host name is used, and postseal quickstart takes that of Postfix"
	}
	s.text("", "authserv_id", value)
	return Same, ""
}

func seconds(table, key string) option {
	return func(s *settings, value string) (Effect, string) {
		n, err := strconv.ParseUint(value, 10, 16)
		if err != nil || n == 0 {
			return Differs, fmt.Sprintf("there is always a time limit: [%s] %s has its default", table, key)
		}
		s.text(table, key, fmt.Sprintf("%ds", n))
		return Same, ""
	}
}

// milterSocket leaves the socket to its program: both may run for a while, and two programs
// cannot share a socket.
func milterSocket(*settings, string) (Effect, string) {
	return Differs, "its socket is not taken over: postseal listens at its own (milter 127.0.0.1:8895), and postseal setup postfix names it to Postfix"
}

// loopback is not checked by default; the list of [network] trusted replaces it.
var loopback = []string{"127.0.0.0/8", "::1"}

func isLoopback(network string) bool {
	return slices.ContainsFunc(loopback, func(l string) bool { return network == l || !strings.Contains(network, "/") && overlap(network, l) })
}

// trusted adds clients whose mail is not checked to those that earlier options named.
func trusted(s *settings, value string) (Effect, string) {
	entries, err := s.dataset(value)
	if err != nil {
		return Manual, err.Error() + ": put its addresses into [network] trusted"
	}
	prefixes, rest := networks(entries)
	prefixes, excluded := exclude(prefixes, rest)
	for _, p := range prefixes {
		if !isLoopback(p) && !slices.Contains(s.trusted, p) {
			s.trusted = append(s.trusted, p)
		}
	}
	if len(s.trusted) > 0 {
		s.list("network", "trusted", slices.Sorted(slices.Values(append(slices.Clone(s.trusted), loopback...))))
	}
	if len(excluded) > 0 {
		return Manual, "there are no exclusions: the networks around " + printable(strings.Join(excluded, " ")) + " are omitted; list the remaining ones in [network] trusted"
	}
	if len(rest) > 0 {
		return Manual, "put the addresses of " + printable(strings.Join(rest, " ")) + " into [network] trusted; host names are not looked up"
	}
	return Same, ""
}

const (
	bySystemd = "systemd does this: see deploy"
	noSigning = "postseal does not sign: keep opendkim with Mode s for that"
	noReports = "set [report] from and dkim instead: postseal report send --dry-run shows what would be sent"
	noScripts = "there are no scripts: see [[rule]]"
)

// each returns several options with the same outcome.
func each(into map[string]option, o option, names ...string) {
	for _, n := range names {
		into[strings.ToLower(n)] = o
	}
}

// firstWord splits "Name value".
func firstWord(line string) (name, value string) {
	i := strings.IndexAny(line, " \t")
	if i < 0 {
		return line, ""
	}
	return line[:i], strings.TrimSpace(line[i:])
}

// equals splits "name = value".
func equals(line string) (name, value string) {
	name, value, _ = strings.Cut(line, "=")
	return strings.TrimSpace(name), strings.TrimSpace(value)
}
