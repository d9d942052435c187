package repair

import (
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"postseal/lint"
	"postseal/spf"
)

var (
	spfVersion = regexp.MustCompile(`(?i)^v?\s*[=:]?\s*spf\s*[12]?(?:\.0)?[;,:]?`)
	// A mechanism that starts before the previous term has ended.
	glued = regexp.MustCompile(`(?i)[+?~-]?(?:include|ip4|ip6|exists|redirect)[:=]`)
	// An all at the end of another term.
	gluedAll = regexp.MustCompile(`(?i)[+?~-]all$`)
	scheme   = regexp.MustCompile(`(?i)^https?://`)
)

// spfNames maps the terms of RFC 7208, and misspellings of them, to what was meant.
var (
	spfNames   = []string{"include", "ip4", "ip6", "redirect", "exists"}
	meantTerms = map[string]string{"ipv4": "ip4", "ip": "ip4", "ipv6": "ip6", "incl": "include", "includes": "include", "redir": "redirect", "host": "a",
		"al": "all", "alll": "all", "aii": "all", "mxs": "mx"}
	exactTerms = []string{"include", "ip4", "ip6", "redirect", "exists", "a", "mx", "ptr", "all", "exp"}
)

// SPF returns the record intended by texts, which are at one name: every sender of all of them,
// and the first -all or ~all. It has no errors of spf.Lint.
func SPF(texts ...string) (string, error) {
	m := &spfModel{}
	for _, text := range texts {
		clean, ok := Clean(text)
		if !ok {
			return "", unclear(text, "has octets that are not text")
		}
		if err := m.read(clean); err != nil {
			return "", err
		}
	}
	return m.record()
}

// spfModel is the meaning of the texts.
type spfModel struct {
	terms    []string // terms that name senders
	all      string
	redirect string
	exp      string
}

func (m *spfModel) read(text string) error {
	at := spfVersion.FindStringIndex(text)
	if at == nil {
		return unclear(text, "does not begin with v=spf1")
	}
	if rest := text[at[1]:]; rest != "" && rest[0] >= '0' && rest[0] <= '9' {
		return unclear(text, "has a version other than spf1")
	}
	for _, word := range words(text[at[1]:]) {
		if err := m.term(word); err != nil {
			return err
		}
	}
	return nil
}

// words splits a record into terms: at spaces, commas and semicolons outside of macros, and
// where terms ran together. A separate qualifier or name with ":" belongs to the word after it.
func words(text string) []string {
	var list []string
	depth, start := 0, 0
	for i := range len(text) + 1 {
		if i < len(text) {
			switch c := text[i]; {
			case c == '{':
				depth++
			case c == '}':
				depth = max(depth-1, 0)
			}
			if depth > 0 || !strings.ContainsRune(" ,;", rune(text[i])) {
				continue
			}
		}
		if word := text[start:i]; word != "" {
			list = append(list, word)
		}
		start = i + 1
	}
	return apart(joined(list))
}

// joined joins what a space separated.
func joined(list []string) []string {
	var out []string
	for i := 0; i < len(list); i++ {
		word := list[i]
		if i+1 < len(list) && (strings.Trim(word, "+-~?") == "" || strings.HasSuffix(word, ":") || strings.HasSuffix(word, "=")) && !glued.MatchString(list[i+1]) {
			list[i+1] = word + list[i+1]
			continue
		}
		out = append(out, word)
	}
	return out
}

// apart separates terms that ran together.
func apart(list []string) []string {
	var out []string
	for _, word := range list {
		for {
			own := len(word) - len(strings.TrimLeft(word, "+-~?"))
			at := glued.FindStringIndex(word[min(own+1, len(word)):])
			if at == nil {
				break
			}
			begin := at[0] + own + 1
			out = append(out, word[:begin])
			word = word[begin:]
		}
		if EndsInAll(word) {
			at := gluedAll.FindStringIndex(word)
			out = append(out, word[:at[0]])
			word = word[at[0]:]
		}
		out = append(out, word)
	}
	return out
}

// EndsInAll reports whether an all ran into the end of a term, as in include:a.example-all.
func EndsInAll(term string) bool {
	at := gluedAll.FindStringIndex(term)
	return at != nil && at[0] > 0 && strings.Trim(term[:at[0]], "+-~?") != ""
}

// term reads one word.
func (m *spfModel) term(word string) error {
	qualifier := ""
	if c := word[0]; strings.IndexByte("+-~?", c) >= 0 {
		qualifier, word = strings.TrimPrefix(word[:1], "+"), strings.TrimLeft(word, "+-~?")
	}
	word = trimWord(word)
	if word == "" {
		return unclear(qualifier, "is a qualifier without a mechanism")
	}
	name, value, sign := word, "", byte(0)
	if i := strings.IndexAny(word, ":="); i >= 0 {
		name, value, sign = word[:i], strings.Trim(word[i+1:], "<>()"), word[i]
	}
	if i := strings.IndexByte(name, '/'); i >= 0 && sign == 0 {
		name, value = name[:i], name[i:]
	}
	if _, err := netip.ParseAddr(strings.Split(word, "/")[0]); err == nil {
		return m.address(qualifier, word)
	}
	meant := meantName(strings.ToLower(name))
	if meant == "" && strings.EqualFold(name, "v") && strings.EqualFold(strings.TrimLeft(value, "="), "spf1") {
		return nil // a record that was pasted twice
	}
	return m.named(meant, qualifier, value, word, sign)
}

// meantName returns the mechanism or modifier that name is, or was meant to be.
func meantName(name string) string {
	switch {
	case slices.Contains(exactTerms, name):
		return name
	case meantTerms[name] != "":
		return meantTerms[name]
	}
	return slip(name, spfNames)
}

func (m *spfModel) named(name, qualifier, value, word string, sign byte) error {
	switch name {
	case "":
		if sign == '=' && !strings.ContainsAny(value, ".:@") {
			return nil // a modifier that names no host: receivers ignore it (RFC 7208 §6)
		}
		return unclear(word, "is not a term of SPF")
	case "all":
		if qualifier == "" {
			qualifier = "+"
		}
		if value != "" {
			return unclear(word, "is not a term of SPF")
		}
		if m.all != "-all" && m.all != "~all" {
			m.all = qualifier + "all"
		}
		return nil
	case "ip4", "ip6":
		return m.address(qualifier, value)
	case "redirect", "exp":
		return m.modifier(name, value)
	case "a", "mx", "ptr":
		return m.host(name, qualifier, value)
	}
	host, err := target(value)
	if err != nil {
		return err
	}
	if ip, bad := netip.ParseAddr(host); bad == nil {
		return m.address(qualifier, ip.String())
	}
	m.add(qualifier + name + ":" + host)
	return nil
}

func (m *spfModel) modifier(name, value string) error {
	host, err := target(value)
	if err != nil {
		return err
	}
	to := &m.redirect
	if name == "exp" {
		to = &m.exp
	}
	if *to != "" && !strings.EqualFold(*to, host) {
		return unclear(value, "is a second "+name)
	}
	*to = host
	return nil
}

// host reads a, mx and ptr: a name or none, and prefix lengths.
func (m *spfModel) host(name, qualifier, value string) error {
	value = scheme.ReplaceAllString(value, "")
	value = strings.TrimRight(value, "/")
	host, length := value, ""
	if i := slashOf(value); i >= 0 {
		host, length = value[:i], value[i:]
	}
	if host == "" {
		m.add(qualifier + name + length)
		return nil
	}
	if _, err := netip.ParseAddr(host); err == nil && name != "ptr" {
		return m.address(qualifier, host+length)
	}
	host, err := target(host)
	if err != nil {
		return err
	}
	m.add(qualifier + name + ":" + host + length)
	return nil
}

// slashOf finds the slash of a prefix length; macros contain none.
func slashOf(s string) int {
	from := strings.LastIndexByte(s, '}') + 1
	if i := strings.IndexByte(s[from:], '/'); i >= 0 {
		return from + i
	}
	return -1
}

// target returns a domain-spec with A-labels. A macro is unchanged.
func target(s string) (string, error) {
	s = strings.TrimSuffix(strings.TrimRight(scheme.ReplaceAllString(s, ""), "/"), ".")
	if strings.Contains(s, "%") && !strings.ContainsAny(s, ":=") { // more terms that ran together
		return s, nil
	}
	if ip, err := netip.ParseAddr(s); err == nil {
		return ip.String(), nil
	}
	if s == "" {
		return "", unclear("", "a term lacks its domain name")
	}
	host := hostName(s)
	if host == "" || !strings.Contains(host, ".") {
		return "", unclear(s, "is not a domain name")
	}
	return host, nil
}

// address reads the value of ip4 or ip6.
func (m *spfModel) address(qualifier, value string) error {
	host, length, masked := strings.Cut(strings.Trim(value, "[] "), "/")
	if host == "" {
		return unclear("", "a term lacks its address")
	}
	ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
	if err != nil {
		if name := hostName(host); !masked && strings.Contains(name, ".") && strings.ContainsAny(name, "abcdefghijklmnopqrstuvwxyz") {
			m.add(qualifier + "a:" + name) // the name of a host instead of its address
			return nil
		}
		return unclear(value, "is not an address")
	}
	if ip.Zone() != "" {
		return unclear(value, "is not an address")
	}
	ip = ip.Unmap()
	name := "ip4:"
	if ip.Is6() {
		name = "ip6:"
	}
	if !masked {
		m.add(qualifier + name + ip.String())
		return nil
	}
	bits, err := strconv.Atoi(length)
	if mask, bad := netip.ParseAddr(length); bad == nil {
		bits, err = maskBits(mask), nil
	}
	if err != nil || bits < 0 || bits > ip.BitLen() || strings.HasPrefix(length, "+") {
		return unclear(value, "has a prefix length out of range")
	}
	p := netip.PrefixFrom(ip, bits).Masked()
	m.add(qualifier + name + p.String())
	return nil
}

// maskBits counts the bits of a netmask, -1 if it is not one.
func maskBits(mask netip.Addr) int {
	bits, ended := 0, false
	for _, b := range mask.AsSlice() {
		for i := 7; i >= 0; i-- {
			one := b>>i&1 == 1
			if one && ended {
				return -1
			}
			ended = ended || !one
			if one {
				bits++
			}
		}
	}
	return bits
}

// add adds a term once.
func (m *spfModel) add(term string) {
	if !slices.ContainsFunc(m.terms, func(t string) bool { return strings.EqualFold(t, term) }) {
		m.terms = append(m.terms, term)
	}
}

// lenient returns the all to write: one that passes everyone, or that is neutral, was not
// intended.
func lenient(all string) string {
	if all == "-all" {
		return all
	}
	return "~all"
}

// record writes the model, and reads it again as receivers do.
func (m *spfModel) record() (string, error) {
	list := append([]string{"v=spf1"}, m.terms...)
	switch {
	case m.redirect != "" && m.all != "":
		// If there is an all, redirect is ignored (RFC 7208 §5.1); include keeps its senders.
		list = append(list, "include:"+m.redirect, lenient(m.all))
	case m.redirect != "":
		list = append(list, "redirect="+m.redirect)
	default:
		list = append(list, lenient(m.all))
	}
	if m.exp != "" {
		list = append(list, "exp="+m.exp)
	}
	if len(m.terms) == 0 && m.redirect == "" && m.all != "-all" && m.all != "~all" {
		return "", unclear("", "the record names no sender")
	}
	text := strings.Join(list, " ")
	if !printable(text) {
		return "", unclear(text, "contains non-ASCII octets")
	}
	for _, p := range spf.Lint(text) {
		if p.Severity == lint.Error || p.Severity == lint.Critical {
			if p.ID == "spf.lookup-limit" {
				continue // depends on the targets of the terms
			}
			return "", unclear(text[p.Offset:], "cannot be written so that receivers read it: "+p.Message)
		}
	}
	return text, nil
}

// trimWord removes characters attached to a word, but not the end of an address such as "a::".
func trimWord(word string) string {
	trimmed := strings.Trim(word, "<>()'.:=")
	if strings.HasSuffix(strings.TrimRight(word, "<>()'.="), "::") {
		return trimmed + "::"
	}
	return trimmed
}
