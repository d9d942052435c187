package differential

import (
	"context"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"postseal/internal/core/dnsdata"
	"postseal/internal/core/spfrecord"
	"postseal/resolver"
	"postseal/spf"
)

type spfClass struct {
	Class
	verifiers []string
	applies   func(*spfView) bool
}

// spfClasses is the reviewed table: the first class of a verifier that applies names the
// disagreement.
var spfClasses = []spfClass{
	{Class{"sender-at", "5321 §4.1.2", ours, "a quoted local part may hold an @: the domain begins after the last one"},
		[]string{"pyspf"}, func(v *spfView) bool { return v.theirs == "none" && strings.Count(v.Sender, "@") > 1 }},
	{Class{"trailing-dot", "7208 §4.3", ours, "a zero-length label at the end is not a fault of a domain"},
		[]string{"pyspf", "mailauth"}, func(v *spfView) bool { return v.theirs == "none" && strings.HasSuffix(v.Sender, ".") }},
	{Class{"trailing-dot-in-macro", "7208 §7.2", both, "%{s} and %{o} show the domain of a sender as it is checked: the verifier leaves a dot at its end"},
		[]string{"Mail::SPF"}, func(v *spfView) bool {
			return strings.HasSuffix(v.Sender, ".") && v.theirs == string(v.ours.Code) && !v.sameExplanation()
		}},
	{Class{"hostname-rules", "7208 §4.3", both, "whether a label of the sender's domain must follow the rules of host names is left open"},
		[]string{"mailauth"}, func(v *spfView) bool { return v.theirs == "none" && !hostname.MatchString(v.senderDomain()) }},
	{Class{"ip6-of-ipv4", "7208 §5", ours, "an ip6 network never matches an IPv4 client: the verifier looks at its mapped address"},
		[]string{"Mail::SPF"}, (*spfView).ip6HoldsMapped},
	{Class{"host-voids", "7208 §4.6.4", both, "void lookups of the hosts of an mx are counted by the verifier, and not by us: the limit is on terms"},
		[]string{"pyspf", "Mail::SPF"}, func(v *spfView) bool { return v.voidLimit() && v.voidHost() }},
	{Class{"p-macro-voids", "7208 §4.6.4", both, "the void PTR lookup of %{p} is counted by the verifier, and not by us: it is not a term"},
		[]string{"mailauth", "pyspf", "Mail::SPF"}, func(v *spfView) bool { return v.voidLimit() && v.anyTerm(matches(pMacro)) }},
	{Class{"explanation-voids", "7208 §4.6.4", ours, "the lookups of an explanation count for no limit"},
		[]string{"pyspf", "Mail::SPF"}, func(v *spfView) bool { return v.voidLimit() && v.anyTerm(matches(expModifier)) }},
	{Class{"void-family", "7208 §4.6.4", both, "for us the third void lookup of an a counts only if the name has no address of the other family either"},
		[]string{"pyspf", "Mail::SPF", "mailauth"}, func(v *spfView) bool {
			return v.voidLimit() && v.ours.Reason != spf.TooManyVoids && v.ours.VoidLookups >= spf.DefaultVoidLookups
		}},
	{Class{"crt-in-unknown-modifier", "7208 §6", both, "an unknown modifier is ignored: whether c, r and t may stand in it is left open by §7.2"},
		[]string{"pyspf"}, func(v *spfView) bool {
			return strings.Contains(v.detail, "c,r,t macros") && v.ours.Reason != spf.BadMacro
		}},
	{Class{"trivial-recursion", "7208 §4.6.4", ours, "a record that includes itself is not a syntax error: a match before it counts, the lookup limit ends it"},
		[]string{"pyspf"}, func(v *spfView) bool { return strings.Contains(v.detail, "trivial recursion") }},
	{Class{"upper-case-r", "7208 §7.1", ours, "strings of ABNF have no case (RFC 5234 §2.3): %{IR} reverses as %{ir} does"},
		[]string{"pyspf", "Mail::SPF"}, func(v *spfView) bool { return v.anyTerm(matches(upperR)) }},
	{Class{"exists-without-domain", "7208 §5.7", ours, "exists has a domain-spec: without one it is a syntax error"},
		[]string{"pyspf"}, func(v *spfView) bool { return v.ours.Reason == spf.BadDomainSpec && v.anyTerm(matches(bareExists)) }},
	{Class{"zero-parts", "7208 §7.1", ours, "a macro that keeps no part is a syntax error"},
		[]string{"pyspf", "Mail::SPF"}, func(v *spfView) bool { return v.ours.Reason == spf.BadMacro && v.anyTerm(matches(zeroParts)) }},
	{Class{"macro-transformers", "7208 §7.1", ours, "after the letter of a macro stand digits, r and delimiters, in this order, and a brace"},
		[]string{"pyspf"}, func(v *spfView) bool {
			return v.ours.Reason == spf.BadMacro && badMacroSyntax.MatchString(v.ours.Problem)
		}},
	{Class{"macro-octets", "7208 §7.1", ours, "a macro-string holds visible ASCII only"},
		[]string{"pyspf", "Mail::SPF"}, func(v *spfView) bool { return v.ours.Reason == spf.BadMacro && v.anyTerm(matches(invisible)) }},
	{Class{"expanded-twice", "7208 §7.3", ours, "a name that a macro expanded to is not expanded again"},
		[]string{"pyspf", "mailauth"}, func(v *spfView) bool {
			return v.theirs == "permerror" && v.anyName(func(n string) bool { return strings.Contains(n, "%") })
		}},
	{Class{"empty-local-part", "7208 §4.3", ours, "the local part of a sender without one is postmaster, in macros too"},
		[]string{"pyspf", "Mail::SPF"}, func(v *spfView) bool { return strings.IndexByte(v.Sender, '@') <= 0 && v.anyText(matches(senderMacro)) }},
	{Class{"escape-at-end", "7208 §7.1", ours, "a domain-spec may end in %%, %_ or %-, which are macro-expand"},
		[]string{"pyspf"}, func(v *spfView) bool {
			return strings.Contains(v.detail, "invalid-macro-char") && v.anyTerm(matches(endsInEscape))
		}},
	{Class{"modifier-twice", "7208 §6", ours, "only redirect and exp must not occur twice: an unknown modifier is ignored, however often"},
		[]string{"pyspf"}, func(v *spfView) bool {
			return v.theirs == "permerror" && strings.Contains(v.detail, "at most once") && v.ours.Reason != spf.DuplicateModifier
		}},
	{Class{"ptr-failure", "7208 §5.5", ours, "a failed lookup of ptr is not a match, and not a temperror"},
		[]string{"pyspf"}, func(v *spfView) bool { return v.theirs == "temperror" && v.anyTerm(matches(ptrTerm)) }},
	{Class{"explanation-failure", "7208 §6.2", ours, "a failed lookup for an explanation changes no result"},
		[]string{"pyspf"}, func(v *spfView) bool {
			return (v.theirs == "temperror" || v.theirs == "fail" && len(v.Zone.Fault) > 0) && v.anyTerm(matches(expModifier))
		}},
	{Class{"mx-limit", "7208 §4.6.4", both, "of an mx with more than ten hosts the first ten are looked up, by preference and name, as the order of an answer has no meaning; other verifiers take ten in the order of the answer, or none"},
		[]string{"Mail::SPF", "mailauth", "pyspf"}, func(v *spfView) bool { return v.ours.Reason == spf.TooManyMX || v.manyMX() }},
	{Class{"odd-names", "7208 §4.8", both, "what an expanded name that is not a host name comes to is left open: we ask for it"},
		[]string{"mailauth"}, func(v *spfView) bool { return v.anyName(func(n string) bool { return !strings.Contains(n, ".") }) }},
	{Class{"unqueryable-name", "7208 §4.8", both, "what an expanded name that cannot be asked for comes to is left open: for us it is a void lookup"},
		[]string{"pyspf", "mailauth", "Mail::SPF"}, (*spfView).unqueryable},
	{Class{"long-names", "7208 §7.3", ours, "labels are dropped from the left until an expanded name fits 253 octets"},
		[]string{"pyspf"}, func(v *spfView) bool { return v.anyTerm(func(t string) bool { return len(t) > 253 }) }},
	{Class{"unknown-modifier-macro", "7208 §6", ours, "the value of an unknown modifier is a macro-string: a syntax error in it spoils the record"},
		[]string{"Mail::SPF"}, func(v *spfView) bool { return v.ours.Reason == spf.BadMacro && v.anyTerm(matches(unknownModifier)) }},
	{Class{"macro-letters", "7208 §4.6", ours, "a macro letter that does not exist, or c, r and t outside explanations, spoils the record wherever it stands"},
		[]string{"Mail::SPF"}, func(v *spfView) bool { return v.ours.Reason == spf.BadMacro && v.anyTerm(matches(badLetter)) }},
	{Class{"term-octets", "7208 §4.6.1", ours, "the name of a term is ASCII"},
		[]string{"Mail::SPF"}, func(v *spfView) bool {
			return v.ours.Reason == spf.UnknownMechanism && v.anyTerm(func(t string) bool { return !isASCII(t) })
		}},
	{Class{"url-escape", "7208 §7.3", ours, "an upper-case macro is URL-escaped in a domain-spec too"},
		[]string{"Mail::SPF"}, func(v *spfView) bool { return v.anyTerm(matches(upperMacro)) && reserved.MatchString(v.Sender) }},
	{Class{"explanation-hex", "7208 §7.3", both, "the nibbles of %{i} have no defined case: the examples have upper case"},
		[]string{"Mail::SPF"}, func(v *spfView) bool { return v.theirs == "fail" && strings.EqualFold(v.detail, v.ours.Explanation) }},
	{Class{"explanation-syntax", "7208 §6.2", ours, "an explanation with a syntax error is ignored"},
		[]string{"Mail::SPF", "pyspf"}, func(v *spfView) bool {
			return v.theirs == "fail" && v.ours.Code == spf.Fail && v.ours.Explanation == "" && v.anyText(matches(badPercent))
		}},
	{Class{"explanation-octets", "7208 §6.2", ours, "an explanation that is not ASCII is ignored"},
		[]string{"Mail::SPF"}, func(v *spfView) bool { return v.theirs == "fail" && v.ours.Code == spf.Fail && !isASCII(v.detail) }},
	{Class{"unused-redirect", "7208 §6.1", ours, "a redirect counts only where no mechanism matched: the library counts each that it has read"},
		[]string{"Mail::SPF"}, func(v *spfView) bool {
			return v.theirs == "permerror" && strings.Contains(v.detail, "DNS-interactive terms limit") && v.ours.Lookups <= spf.DefaultLookups && v.anyTerm(matches(redirectModifier))
		}},
	{Class{"explanation-length", "7208 §11.5", both, "an explanation of more than 255 octets is cut at a word, and marked"},
		[]string{"Mail::SPF", "pyspf"}, func(v *spfView) bool { return v.theirs == "fail" && strings.HasSuffix(v.ours.Explanation, " ...") }},
}

const (
	ours = "ours"
	both = "both"
)

var (
	hostname         = regexp.MustCompile(`^([A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?\.)+[A-Za-z0-9-]+$`)
	pMacro           = regexp.MustCompile(`%\{[pP]`)
	upperR           = regexp.MustCompile(`%\{[A-Za-z][0-9]*R`)
	bareExists       = regexp.MustCompile(`^[-+~?]?[eE]xists$`)
	zeroParts        = regexp.MustCompile(`%\{[A-Za-z]0+[^0-9]`)
	endsInEscape     = regexp.MustCompile(`%[%_-](//?[0-9]+)*$`)
	unknownModifier  = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9._-]*=.*%`)
	redirectModifier = regexp.MustCompile(`^(?i)redirect=`)
	expModifier      = regexp.MustCompile(`^(?i)exp=`)
	badMacroSyntax   = regexp.MustCompile(`no such delimiter|without letter and`)
	invisible        = regexp.MustCompile(`[^!-~]`)
	senderMacro      = regexp.MustCompile(`%\{[slSL]`)
	reserved         = regexp.MustCompile(`[^A-Za-z0-9._~-]`)
	badLetter        = regexp.MustCompile(`%\{[^slodiphvSLODIPHV]`)
	badPercent       = regexp.MustCompile(`%([^{%_-]|$)|%\{[^}]*(\s|$)`)
	ptrTerm          = regexp.MustCompile(`^[-+~?]?[pP]tr`)
	upperMacro       = regexp.MustCompile(`%\{[A-Z]`)
)

func matches(r *regexp.Regexp) func(string) bool { return r.MatchString }

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// anyText looks at every TXT answer, explanations too.
func (v *spfView) anyText(is func(text string) bool) bool {
	for _, e := range v.seen.asked {
		if slices.ContainsFunc(e.Answer.Records, func(r resolver.RR) bool { return is(r.Text) }) {
			return true
		}
	}
	return false
}

func (v *spfView) senderDomain() string {
	return v.Sender[strings.LastIndexByte(v.Sender, '@')+1:]
}

// anyTerm looks at the terms of every record that was read.
func (v *spfView) anyTerm(is func(term string) bool) bool {
	for _, e := range v.seen.asked {
		for _, r := range e.Answer.Records {
			if e.Type == resolver.TXT && spfrecord.IsRecord(r.Text) && slices.ContainsFunc(strings.Split(r.Text, " "), is) {
				return true
			}
		}
	}
	return false
}

// ip6HoldsMapped: an ip6 network holds the mapped address of the IPv4 client.
func (v *spfView) ip6HoldsMapped() bool {
	ip := v.request().IP.Unmap()
	return ip.Is4() && v.anyTerm(func(term string) bool {
		_, text, ok := strings.Cut(term, ":")
		if !ok || !strings.Contains(strings.ToLower(term[:len(term)-len(text)]), "ip6") {
			return false
		}
		if !strings.Contains(text, "/") {
			text += "/128"
		}
		network, err := netip.ParsePrefix(text)
		if err != nil {
			return false
		}
		mapped, host := ip.As16(), network.Masked().Addr().As16()
		for bit := range network.Bits() {
			if (mapped[bit/8]^host[bit/8])&(0x80>>(bit%8)) != 0 {
				return false
			}
		}
		return true
	})
}

// voidLimit: the verifier counted more than two void lookups.
func (v *spfView) voidLimit() bool {
	return v.theirs != "pass" && strings.Contains(strings.ToLower(v.detail), "void")
}

// manyMX: a name has more MX records than are looked up.
func (v *spfView) manyMX() bool {
	for _, types := range v.Zone.RR {
		if len(types["MX"]) > spf.DefaultNames {
			return true
		}
	}
	return false
}

func (v *spfView) anyName(is func(string) bool) bool {
	return slices.ContainsFunc(v.seen.asked, func(e resolver.Exchange) bool { return is(e.Name) })
}

// voidHost: an mx or a PTR names a host without an address of the client's family.
func (v *spfView) voidHost() bool {
	for _, e := range v.seen.asked {
		if e.Type != resolver.MX && e.Type != resolver.PTR {
			continue
		}
		for _, r := range e.Answer.Records {
			t := resolver.A
			if addressType(v.request().IP.Unmap()) == "AAAA" {
				t = resolver.AAAA
			}
			if a, err := v.Zone.Lookup(context.Background(), r.Target, t); err == nil && len(a.Records) == 0 {
				return true
			}
		}
	}
	return false
}

// unqueryable: a term expanded to no name.
func (v *spfView) unqueryable() bool {
	return v.anyName(func(n string) bool { return !dnsdata.ValidName(n) })
}
