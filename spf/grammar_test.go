package spf_test

import (
	"math/rand/v2"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"postseal/internal/core/spfrecord"
)

// The grammar of RFC 7208 §12, written down as it stands there: a slow reference for Parse.
const (
	abnfLetter   = `[SLODIPHVslodiphv]` // c, r and t in explanations alone (§7.2)
	abnfMacro    = `(?:%\{` + abnfLetter + `0*[1-9]?[0-9]*[rR]?[-.+,/_=]*\}|%%|%_|%-)`
	abnfLiteral  = `[\x21-\x24\x26-\x7e]`
	abnfAlnum    = `[A-Za-z0-9]`
	abnfTop      = `(?:` + abnfAlnum + `*[A-Za-z]` + abnfAlnum + `*|` + abnfAlnum + `+-[A-Za-z0-9-]*` + abnfAlnum + `)`
	abnfDomain   = `(?:` + abnfMacro + `|` + abnfLiteral + `)*(?:\.` + abnfTop + `\.?|` + abnfMacro + `)`
	abnfCIDR4    = `(?:/(0|[1-9][0-9]?))`
	abnfCIDR6    = `(?:/(0|[1-9][0-9]{0,2}))`
	abnfString   = `(?:` + abnfAnyMacro + `|%%|%_|%-|` + abnfLiteral + `)*`
	abnfAnyMacro = `%\{[SLODIPHVCRTslodiphvcrt][0-9]*[rR]?[-.+,/_=]*\}`
)

var (
	abnfPlain    = regexp.MustCompile(`^[-+?~]?(?i:all)$`)
	abnfTarget   = regexp.MustCompile(`^[-+?~]?(?:(?i:include|exists):` + abnfDomain + `|(?i:ptr)(?::` + abnfDomain + `)?)$`)
	abnfHosts    = regexp.MustCompile(`^[-+?~]?(?i:a|mx)(?::` + abnfDomain + `)?` + abnfCIDR4 + `?(?:/` + abnfCIDR6 + `)?$`)
	abnfIP4      = regexp.MustCompile(`^[-+?~]?(?i:ip4):([0-9.]+)` + abnfCIDR4 + `?$`)
	abnfIP6      = regexp.MustCompile(`^[-+?~]?(?i:ip6):([0-9A-Fa-f:.]+)` + abnfCIDR6 + `?$`)
	abnfKnown    = regexp.MustCompile(`^(?i:(redirect)|(exp))=` + abnfDomain + `$`)
	abnfModifier = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9_.-]*)=` + abnfString + `$`)
	zeroMacro    = regexp.MustCompile(`%\{[A-Za-z]0+[^0-9]`)
)

// validByGrammar reports whether record is one.
func validByGrammar(record string) bool {
	if !spfrecord.IsRecord(record) {
		return false
	}
	known := map[string]int{}
	for _, term := range strings.Split(record[len("v=spf1"):], " ") {
		if term != "" && !validTerm(term, known) {
			return false
		}
	}
	return known["redirect"] < 2 && known["exp"] < 2
}

func validTerm(term string, known map[string]int) bool {
	if m := abnfKnown.FindStringSubmatch(term); m != nil {
		known[strings.ToLower(m[1]+m[2])]++
		return !zeroMacros(term)
	}
	if m := abnfModifier.FindStringSubmatch(term); m != nil {
		name := strings.ToLower(m[1])
		return name != "redirect" && name != "exp" && !zeroMacros(term)
	}
	if zeroMacros(term) {
		return false
	}
	if m := abnfHosts.FindStringSubmatch(term); m != nil {
		return upTo(m[1], 32) && upTo(m[2], 128)
	}
	if m := abnfIP4.FindStringSubmatch(term); m != nil {
		ip, err := netip.ParseAddr(m[1])
		return err == nil && ip.Is4() && upTo(m[2], 32)
	}
	if m := abnfIP6.FindStringSubmatch(term); m != nil {
		ip, err := netip.ParseAddr(m[1])
		return err == nil && ip.Is6() && upTo(m[2], 128)
	}
	return abnfPlain.MatchString(term) || abnfTarget.MatchString(term)
}

// zeroMacros: a number of parts is not zero (§7.1). "%%{d0}" is not a macro.
func zeroMacros(term string) bool { return zeroMacro.MatchString(strings.ReplaceAll(term, "%%", "")) }

func upTo(number string, most int) bool {
	n, err := strconv.Atoi(number)
	return number == "" || err == nil && n <= most
}

func compareWithGrammar(t *testing.T, record string) {
	t.Helper()
	_, err := spfrecord.Parse(record)
	if want := validByGrammar(record); (err == nil) != want {
		t.Errorf("Parse(%q) = %v, by the grammar valid is %v", record, err, want)
	}
}

// TestGrammar makes records of pieces that are nearly right.
func TestGrammar(t *testing.T) {
	rnd := rand.New(rand.NewPCG(7208, 12))
	pieces := []string{"a", "mx", "ptr", "ip4", "ip6", "include", "exists", "all", "redirect", "exp", "moo", "A", "-", "+", "~", "?", ":", "=", "/", "//", "24", "0",
		"32", "33", "128", "129", "032", ".", "..", "com", "x.test", "x-y", "-x", "1", "%{d}", "%{d2r-}", "%{d0}", "%{d02}", "%{c}", "%{D}", "%{", "}", "%%", "%_", "%-", "%",
		"192.0.2.1", "2001:db8::1", "::", "192.0.2", "_", "@", "\"", "\x7f", "\t", "é", " ", "_spf", "{d0}"}
	valid := 0
	for range 100_000 {
		var b strings.Builder
		b.WriteString("v=spf1 ")
		for range 1 + rnd.IntN(7) {
			b.WriteString(pieces[rnd.IntN(len(pieces))])
		}
		compareWithGrammar(t, b.String())
		if validByGrammar(b.String()) {
			valid++
		}
		if t.Failed() {
			return
		}
	}
	if valid < 1000 {
		t.Errorf("only %d valid records were made", valid)
	}
}

// FuzzGrammar: a record is taken exactly when the grammar of RFC 7208 §12, written as
// expressions, takes it.
func FuzzGrammar(f *testing.F) {
	for _, s := range []string{"v=spf1 a:%{d}/24//64 mx:x.test/0 ip4:192.0.2.1/32 ip6:2001:db8::/32 -all", "v=spf1 include:%{d2}._x.%{o}. exists:%{ir}.x.test redirect=a.test exp=%%",
		"v=spf1 moo=%{c}%_ ptr:a/b.test ?ptr", "v=spf1 a:}.test a:%%.test a://.x.test/3"} {
		f.Add(s)
	}
	f.Fuzz(compareWithGrammar)
}
