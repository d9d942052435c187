package repair

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"postseal/dmarc"
	"postseal/internal/core/dmarcrecord"
	"postseal/internal/core/spfrecord"
	"postseal/lint"
	"postseal/spf"
)

// mutations are what people and programs do to a record on its way into a zone.
var mutations = map[string]func(r *rand.Rand, s string) string{
	"smart quotes":  func(_ *rand.Rand, s string) string { return "\u201c" + s + "\u201d" },
	"quotes":        func(_ *rand.Rand, s string) string { return `"` + s + `"` },
	"BOM":           func(_ *rand.Rand, s string) string { return "\ufeff" + s },
	"zero width":    func(r *rand.Rand, s string) string { return inside(r, s, "\u200b") },
	"NBSP":          func(r *rand.Rand, s string) string { return one(r, s, " ", "\u00a0") },
	"NBSP Latin-1":  func(r *rand.Rand, s string) string { return one(r, s, " ", "\xa0") },
	"newline":       func(r *rand.Rand, s string) string { return one(r, s, " ", "\r\n") },
	"tab":           func(r *rand.Rand, s string) string { return one(r, s, " ", "\t") },
	"two blanks":    func(r *rand.Rand, s string) string { return one(r, s, " ", "   ") },
	"leading blank": func(_ *rand.Rand, s string) string { return "  " + s },
	"trailing":      func(r *rand.Rand, s string) string { return s + []string{" ", ";", " ;", ",", "\n"}[r.IntN(5)] },
	"backslash":     func(r *rand.Rand, s string) string { return strings.ReplaceAll(s, ";", `\;`) },
	"HTML":          func(_ *rand.Rand, s string) string { return "<p>" + s + "</p>" },
	"HTML escapes": func(_ *rand.Rand, s string) string {
		return strings.NewReplacer(" ", "&nbsp;", ";", "&#59;").Replace(s)
	},
	"doubled":     func(_ *rand.Rand, s string) string { return s + " " + s },
	"upper case":  func(_ *rand.Rand, s string) string { return strings.ToUpper(s) },
	"master file": func(_ *rand.Rand, s string) string { return "@ 3600 IN TXT " + s },
	"strings":     func(r *rand.Rand, s string) string { return inside(r, s, `" "`) },
}

// one replaces one of several old, if there is one.
func one(r *rand.Rand, s, old, new string) string {
	n := strings.Count(s, old)
	if n == 0 {
		return s
	}
	at, skip := 0, r.IntN(n)
	for range skip {
		at += strings.Index(s[at:], old) + len(old)
	}
	return s[:at] + strings.Replace(s[at:], old, new, 1)
}

func inside(r *rand.Rand, s, what string) string {
	i := r.IntN(len(s))
	return s[:i] + what + s[i:]
}

func mutate(r *rand.Rand, s string, own map[string]func(r *rand.Rand, s string) string) (string, string) {
	var done []string
	for range 1 + r.IntN(3) {
		from := mutations
		if r.IntN(2) == 0 {
			from = own
		}
		names := make([]string, 0, len(from))
		for n := range from {
			names = append(names, n)
		}
		slices.Sort(names)
		n := names[r.IntN(len(names))]
		s = from[n](r, s)
		done = append(done, n)
	}
	return s, strings.Join(done, ", ")
}

func pick(r *rand.Rand, list ...string) string { return list[r.IntN(len(list))] }

func randomDMARC(r *rand.Rand) (text string, addresses []string, p, sp string) {
	p = pick(r, policies...)
	parts := []string{"v=DMARC1", "p=" + p}
	if r.IntN(3) == 0 {
		sp = pick(r, policies...)
		parts = append(parts, "sp="+sp)
	}
	if r.IntN(3) == 0 {
		parts = append(parts, "adkim="+pick(r, "r", "s"), "aspf=s")
	}
	for _, tag := range []string{"rua", "ruf"} {
		var list []string
		for i := range r.IntN(3) {
			list = append(list, fmt.Sprintf("%s%d@%s.test", pick(r, "d", "dmarc-reports", "a.b", "p-list"), i, pick(r, "acme", "reports.example", "xn--mnchen-3ya")))
		}
		if len(list) > 0 {
			parts = append(parts, tag+"=mailto:"+strings.Join(list, ",mailto:"))
			addresses = append(addresses, list...)
		}
	}
	return strings.Join(parts, "; "), addresses, p, sp
}

var dmarcMutations = map[string]func(r *rand.Rand, s string) string{
	"commas":       func(_ *rand.Rand, s string) string { return strings.ReplaceAll(s, ";", ",") },
	"blanks":       func(_ *rand.Rand, s string) string { return strings.ReplaceAll(s, ";", "") },
	"one comma":    func(r *rand.Rand, s string) string { return one(r, s, ";", ",") },
	"no separator": func(r *rand.Rand, s string) string { return one(r, s, ";", "") },
	"double":       func(r *rand.Rand, s string) string { return one(r, s, ";", ";;") },
	"no mailto":    func(r *rand.Rand, s string) string { return one(r, s, "mailto:", "") },
	"slashes":      func(r *rand.Rand, s string) string { return one(r, s, "mailto:", "mailto://") },
	"blank mailto": func(r *rand.Rand, s string) string { return one(r, s, "mailto:", "mailto: ") },
	"semicolon":    func(r *rand.Rand, s string) string { return one(r, s, ",mailto", ";mailto") },
	"blank":        func(r *rand.Rand, s string) string { return one(r, s, ",mailto", " mailto") },
	"rau":          func(r *rand.Rand, s string) string { return one(r, s, "rua=", "rau=") },
	"policy":       func(_ *rand.Rand, s string) string { return strings.Replace(s, "; p=", "; policy=", 1) },
	"colon":        func(r *rand.Rand, s string) string { return one(r, s, "=", ":") },
	"spaced":       func(r *rand.Rand, s string) string { return one(r, s, "=", " = ") },
	"dmarc":        func(_ *rand.Rand, s string) string { return strings.Replace(s, "DMARC1", "DMARC", 1) },
	"lower":        func(_ *rand.Rand, s string) string { return strings.Replace(s, "DMARC1", "dmarc1", 1) },
	"no version":   func(_ *rand.Rand, s string) string { return strings.Replace(s, "v=DMARC1; ", "", 1) },
	"size":         func(r *rand.Rand, s string) string { return one(r, s, ".test", ".test!10m") },
	"brackets": func(r *rand.Rand, s string) string {
		return one(r, s, "=mailto:d0@acme.test", "=<mailto:d0@acme.test>")
	},
	"quarentine":   func(r *rand.Rand, s string) string { return one(r, s, "quarantine", "quarentine") },
	"rejected":     func(r *rand.Rand, s string) string { return one(r, s, "reject", "rejected") },
	"removed tags": func(_ *rand.Rand, s string) string { return s + "; pct=100; rf=afrf; ri=86400" },
	"unknown tag":  func(_ *rand.Rand, s string) string { return s + "; xyz=1" },
	"another order": func(_ *rand.Rand, s string) string {
		parts := strings.Split(s, "; ")
		slices.Reverse(parts)
		return strings.Join(parts, "; ")
	},
	"U-label": func(_ *rand.Rand, s string) string { return strings.ReplaceAll(s, "xn--mnchen-3ya", "m\u00fcnchen") },
}

// TestDMARCProperties: of whatever became of a record, what is offered has no error, and all
// that was meant.
func TestDMARCProperties(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	offered := 0
	const runs = 4000
	for range runs {
		record, addresses, p, sp := randomDMARC(r)
		text, how := mutate(r, record, dmarcMutations)
		got, err := DMARC(text)
		if err != nil {
			continue
		}
		offered++
		for _, problem := range dmarc.Lint(got) {
			if problem.Severity == lint.Error || problem.Severity == lint.Critical {
				t.Fatalf("%s: %q became %q: %s", how, text, got, problem.ID)
			}
		}
		parsed, ok := dmarcrecord.Parse(got)
		if !ok || string(parsed.P) != p || string(parsed.SP) != sp {
			t.Fatalf("%s: %q became %q, of %q", how, text, got, record)
		}
		have := strings.ToLower(strings.Join(append(parsed.RUA, parsed.RUF...), " ") + " ")
		for _, a := range addresses {
			if !strings.Contains(have, "mailto:"+a+" ") {
				t.Fatalf("%s: %q became %q, without %s", how, text, got, a)
			}
		}
		if n := len(parsed.RUA) + len(parsed.RUF); n > len(addresses) {
			t.Fatalf("%s: %q became %q: %d addresses of %d", how, text, got, n, len(addresses))
		}
	}
	t.Logf("%d of %d texts have one explanation", offered, runs)
	if offered < runs*8/10 {
		t.Errorf("only %d of %d texts got a record", offered, runs)
	}
}

func randomSPF(r *rand.Rand) (text string, senders []string, all string) {
	for range 1 + r.IntN(5) {
		senders = append(senders, pick(r, "mx", "a", "include:_spf.google.com", "include:sendgrid.net", "include:spf.mail-all.test", "ip4:192.0.2.1", "ip4:198.51.100.0/24",
			"ip6:2001:db8:a::/48", "a:mail.acme.test", "mx:b.acme.test", "exists:%{i}._spf.acme.test", "include:%{d}.spf.has.test", "a/24", "~include:old.test", "?a:test.acme.test"))
	}
	slices.Sort(senders)
	senders = slices.Compact(senders)
	r.Shuffle(len(senders), func(i, j int) { senders[i], senders[j] = senders[j], senders[i] })
	all = pick(r, "-all", "~all")
	return "v=spf1 " + strings.Join(senders, " ") + " " + all, senders, all
}

var spfMutations = map[string]func(r *rand.Rand, s string) string{
	"glued all": func(_ *rand.Rand, s string) string {
		return strings.Replace(strings.Replace(s, " -all", "-all", 1), " ~all", "~all", 1)
	},
	"glued version": func(_ *rand.Rand, s string) string { return strings.Replace(s, "spf1 ", "spf1", 1) },
	"glued terms":   func(r *rand.Rand, s string) string { return one(r, s, " include:", "include:") },
	"glued ip4":     func(r *rand.Rand, s string) string { return one(r, s, " ip4:", "ip4:") },
	"commas": func(_ *rand.Rand, s string) string {
		return strings.Replace(strings.ReplaceAll(s, " ", ", "), "spf1,", "spf1", 1)
	},
	"semicolons":   func(r *rand.Rand, s string) string { return one(r, s, " ", "; ") },
	"spaced":       func(r *rand.Rand, s string) string { return one(r, s, "include:", "include: ") },
	"spaced ip4":   func(r *rand.Rand, s string) string { return one(r, s, "ip4:", "ip4: ") },
	"spaced all":   func(_ *rand.Rand, s string) string { return strings.Replace(s, "-all", "- all", 1) },
	"en dash":      func(_ *rand.Rand, s string) string { return strings.Replace(s, "-all", "\u2013all", 1) },
	"equals":       func(r *rand.Rand, s string) string { return one(r, s, "include:", "include=") },
	"inlcude":      func(r *rand.Rand, s string) string { return one(r, s, "include", "inlcude") },
	"ipv4":         func(r *rand.Rand, s string) string { return one(r, s, "ip4:", "ipv4:") },
	"ip6 as ip4":   func(r *rand.Rand, s string) string { return one(r, s, "ip6:", "ip4:") },
	"bare":         func(r *rand.Rand, s string) string { return one(r, s, "ip4:", "") },
	"trailing dot": func(r *rand.Rand, s string) string { return one(r, s, ".net", ".net.") },
	"after all": func(_ *rand.Rand, s string) string {
		parts := strings.Fields(s)
		if len(parts) < 3 {
			return s
		}
		return strings.Join(append([]string{parts[0], parts[len(parts)-1]}, parts[1:len(parts)-1]...), " ")
	},
	"spf2":        func(_ *rand.Rand, s string) string { return strings.Replace(s, "spf1", "spf2", 1) },
	"unknown":     func(_ *rand.Rand, s string) string { return s + " match_subdomains=yes" },
	"another all": func(r *rand.Rand, s string) string { return s + " ?all" },
}

// TestSPFProperties: of whatever became of a record, what is offered has no error, and every
// sender that was meant.
func TestSPFProperties(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	offered := 0
	const runs = 4000
	for range runs {
		record, senders, all := randomSPF(r)
		text, how := mutate(r, record, spfMutations)
		got, err := SPF(text)
		if err != nil {
			continue
		}
		offered++
		for _, problem := range spf.Lint(got) {
			if problem.Severity == lint.Error || problem.Severity == lint.Critical {
				t.Fatalf("%s: %q became %q: %s", how, text, got, problem.ID)
			}
		}
		terms := strings.Fields(strings.ToLower(got))
		for _, s := range append(senders, all) {
			if !slices.Contains(terms, s) {
				t.Fatalf("%s: %q became %q, without %s", how, text, got, s)
			}
		}
		if len(terms) != len(senders)+2 {
			t.Fatalf("%s: %q became %q, of %q", how, text, got, record)
		}
	}
	t.Logf("%d of %d texts have one explanation", offered, runs)
	if offered < runs*8/10 {
		t.Errorf("only %d of %d texts got a record", offered, runs)
	}
}

// FuzzRepair: no text makes a record that receivers cannot read.
func FuzzRepair(f *testing.F) {
	for _, s := range []string{"v=DMARC1; p=none; rua=mailto:a@b.test", "v=spf1 include:a.test -all", "\u201cv=spf1 mx\u201d", "v=DMARC1;p:reject,rau=x@y.test"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if got, err := DMARC(s); err == nil {
			again, err := DMARC(got)
			if _, ok := dmarcrecord.Parse(got); !ok || err != nil || again != got || !printable(got) {
				t.Errorf("DMARC(%q) = %q, and of that %q, %v", s, got, again, err)
			}
		}
		if got, err := SPF(s); err == nil {
			again, err := SPF(got)
			if _, bad := spfrecord.Parse(got); bad != nil || err != nil || again != got || !printable(got) {
				t.Errorf("SPF(%q) = %q, and of that %q, %v", s, got, again, err)
			}
		}
	})
}
