package secondopinion

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"postseal/dkim"
	"postseal/message"
	"postseal/spf"
)

// Right says whose verdict a rule supports.
type Right string

// The sides. Both means that the standard leaves the choice to the verifier.
const (
	Ours Right = "ours"
	Both Right = "both"
)

// Rule settles a known difference: an input class, the section of the RFC, who is right, and
// why.
type Rule struct {
	ID    string `json:"id"`
	RFC   string `json:"rfc"`
	Right Right  `json:"right"`
	Why   string `json:"why"`
}

// String is one line for people.
func (r *Rule) String() string { return fmt.Sprintf("%s (RFC %s)", r.Why, r.RFC) }

// spfView is what a rule may use.
type spfView struct {
	ip      netip.Addr
	helo    string
	sender  string
	ours    spf.Result
	theirs  string
	records []string // SPF records that the library read
	failed  bool     // an address lookup of the library failed
	manyMX  bool     // a name has more MX records than the limit
}

type spfClass struct {
	Rule
	applies func(*spfView) bool
}

// spfClasses is the reviewed table of differences with blitiri.com.ar/go/spf. The first
// that applies names the difference.
var spfClasses = []spfClass{
	{Rule{"sender-at", "5321 §4.1.2", Ours, "the library cuts a sender at its first @, which a quoted local part may hold"},
		func(v *spfView) bool { return strings.Count(v.sender, "@") > 1 }},
	{Rule{"sender-without-at", "7208 §4.3", Ours, "a sender without a local part is postmaster at its domain: the library takes the HELO name"},
		func(v *spfView) bool { return v.sender != "" && !strings.Contains(v.sender, "@") }},
	{Rule{"no-domain", "7208 §4.3", Ours, "a name that is not a multi-label domain has no record: the library looks for one"},
		func(v *spfView) bool { return v.ours.Reason == spf.NoDomain }},
	{Rule{"u-label-domain", "8616 §4", Ours, "the library does not turn U-labels into A-labels"},
		func(v *spfView) bool { return !isASCII(domainOf(v.sender, v.helo)) }},
	{Rule{"u-local-part", "8616 §4", Ours, "a term with %{s} or %{l} never matches a local part that is not ASCII: the library expands it"},
		func(v *spfView) bool { return !isASCII(v.sender) && v.anyMacro("sl") }},
	{Rule{"whole-record", "7208 §4.6", Ours, "a syntax error anywhere in a record spoils it: the library stops reading at the first match, and lets some errors pass"},
		func(v *spfView) bool {
			return v.ours.Code == spf.PermError && syntaxReasons[v.ours.Reason] && v.theirs != "permerror"
		}},
	{Rule{"slash-in-domain-spec", "7208 §7.1", Ours, "a domain-spec may hold \"/\": the library takes it for a prefix length"},
		func(v *spfView) bool { return v.theirs == "permerror" && v.anyTerm(slashInDomain) }},
	{Rule{"slash-in-name", "7208 §7.3", Ours, "a macro may expand to a name with \"/\": the library takes it for a prefix length"},
		func(v *spfView) bool {
			return v.theirs == "permerror" && strings.Contains(v.sender, "/") && v.anyMacro("sl")
		}},
	{Rule{"ip6-of-ipv4", "7208 §5", Ours, "an ip6 network never matches an IPv4 client: the library takes an IPv4-mapped network for one of IPv4"},
		func(v *spfView) bool { return v.ip.Is4() && v.anyTerm(mappedNetwork) }},
	{Rule{"expanded-twice", "7208 §7.3", Ours, "a name that a macro expanded to is not expanded again: the library does it"},
		func(v *spfView) bool {
			return v.theirs == "permerror" && (v.anyTerm(percentEscape.MatchString) || strings.Contains(v.sender, "%") && v.anyMacro("sl"))
		}},
	{Rule{"many-parts", "7208 §7.1", Both, "how many parts more than 127 a macro may keep is left open: the library refuses what overflows"},
		func(v *spfView) bool { return v.theirs == "permerror" && v.anyTerm(manyParts.MatchString) }},
	{Rule{"p-macro", "7208 §7.3", Ours, "%{p} is the validated name: the library always takes \"unknown\""},
		func(v *spfView) bool { return v.anyMacro("p") }},
	{Rule{"void-lookups", "7208 §4.6.4", Ours, "a term whose one lookup is void counts: the library asks for A and AAAA, and counts when both are void"},
		func(v *spfView) bool { return v.ours.Reason == spf.TooManyVoids }},
	{Rule{"mx-limit", "7208 §4.6.4", Both, "of an mx with more than ten hosts the first ten are looked up, and one of them matches: the library looks at none"},
		func(v *spfView) bool { return v.theirs == "permerror" && v.manyMX }},
	{Rule{"failed-family", "7208 §5", Ours, "only the lookup of the client's family matters: the library asks for both"},
		func(v *spfView) bool { return v.failed && (v.ours.Code == spf.TempError || v.theirs == "temperror") }},
	{Rule{"null-sender-macros", "7208 §4.3", Ours, "the local part of a sender without one is postmaster: the library leaves it empty"},
		func(v *spfView) bool { return emptyLocal(v.sender) && v.anyMacro("slo") }},
	{Rule{"long-names", "7208 §7.3", Ours, "an expanded name over 253 octets loses labels on its left: the library looks it up whole"},
		(*spfView).mayBeTruncated},
	{Rule{"empty-parts", "7208 §7.3", Ours, "a value is split at every delimiter: the library drops empty parts, and asks for another name"},
		func(v *spfView) bool {
			return v.anySpent(func(s spf.Spend) bool { return strings.Contains("."+s.Name, "..") })
		}},
	{Rule{"record-bytes", "7208 §3.4", Both, "a record over 8192 octets is not evaluated: the library has no such bound"},
		func(v *spfView) bool { return v.ours.Reason == spf.RecordTooLong }},
}

// mayBeTruncated reports whether a term is over 253 octets, or whether a name that we looked up
// would be, with another label of 63 octets on its left.
func (v *spfView) mayBeTruncated() bool {
	return v.anySpent(func(s spf.Spend) bool {
		return len(s.Term) > 253 || len(s.Name)+64 > 253 && strings.Contains(s.Term, "%{")
	})
}

func (v *spfView) anySpent(is func(spf.Spend) bool) bool {
	return slices.ContainsFunc(v.ours.Spent, is)
}

// syntaxReasons are the reasons for an invalid record.
var syntaxReasons = map[spf.Reason]bool{spf.UnknownMechanism: true, spf.BadTerm: true, spf.BadDomainSpec: true, spf.BadMacro: true,
	spf.BadAddress: true, spf.BadPrefix: true, spf.DuplicateModifier: true}

// SPFRules lists the table of differences with the SPF library.
func SPFRules() []Rule {
	var rules []Rule
	for _, c := range spfClasses {
		rules = append(rules, c.Rule)
	}
	return rules
}

// DKIMRules lists the table of differences with the DKIM library.
func DKIMRules() []Rule {
	var rules []Rule
	for _, c := range dkimClasses {
		rules = append(rules, c.Rule)
	}
	return rules
}

func spfRule(v *spfView) *Rule {
	for i := range spfClasses {
		if spfClasses[i].applies(v) {
			return &spfClasses[i].Rule
		}
	}
	return nil
}

func (v *spfView) anyTerm(is func(term string) bool) bool {
	for _, r := range v.records {
		for term := range strings.FieldsSeq(r) {
			if is(term) {
				return true
			}
		}
	}
	return false
}

func (v *spfView) anyMacro(letters string) bool {
	return v.anyTerm(func(term string) bool {
		for i := 0; i+2 < len(term); i++ {
			if term[i] == '%' && term[i+1] == '{' && strings.IndexByte(letters, term[i+2]|0x20) >= 0 {
				return true
			}
		}
		return false
	})
}

// slashInDomain: a, mx and similar with a "/" that does not start a prefix length.
func slashInDomain(term string) bool {
	start := strings.IndexAny(term, ":=")
	if start < 0 {
		return false
	}
	spec := term[start+1:]
	i := strings.IndexByte(spec, '/')
	return i >= 0 && strings.Trim(spec[i:], "/0123456789") != ""
}

var (
	percentEscape = regexp.MustCompile(`%[%_-]|%\{[A-Z]`)
	manyParts     = regexp.MustCompile(`%\{[A-Za-z][0-9]{10,}`)
)

// mappedNetwork: ip6 with a network of IPv4-mapped addresses.
func mappedNetwork(term string) bool {
	_, text, _ := strings.Cut(term, ":")
	address, _, _ := strings.Cut(text, "/")
	ip, err := netip.ParseAddr(address)
	return err == nil && ip.Is4In6()
}

func domainOf(sender, helo string) string {
	if i := strings.LastIndexByte(sender, '@'); i >= 0 {
		return sender[i+1:]
	}
	if sender != "" {
		return sender
	}
	return helo
}

func emptyLocal(sender string) bool {
	return sender == "" || strings.LastIndexByte(sender, '@') <= 0
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// dkimView is what a rule may use.
type dkimView struct {
	ours   *dkim.Result
	theirs *Signature
	header *message.Header
	keys   []string // key records of the message
}

type dkimClass struct {
	Rule
	applies func(*dkimView) bool
}

// dkimClasses is the reviewed table of differences with go-msgauth/dkim.
// The first that applies names the difference.
var dkimClasses = []dkimClass{
	{Rule{"body-first", "6376 §6.1.3", Both, "a changed body fails whatever the key: postseal reports it before it needs the key"},
		func(v *dkimView) bool {
			return v.ours.Reason == dkim.BodyHashMismatch && v.theirs.Result == "temperror"
		}},
	{Rule{"local-policy", "6376 §6.3", Both, "the signature verifies; a local rule refuses it"},
		func(v *dkimView) bool { return v.ours.Code == dkim.Policy && v.theirs.Result == "pass" }},
	{Rule{"real-clock", "6376 §3.5 x=", Both, "the library compares x= with the clock of the machine, without skew"},
		func(v *dkimView) bool {
			return v.theirs.Err != nil && strings.Contains(v.theirs.Err.Error(), "expired")
		}},
	{Rule{"body-length", "6376 §3.5 l=", Ours, "l= that covers the whole body is not a weakness: the library refuses every l="},
		func(v *dkimView) bool {
			return v.ours.BodyLength >= 0 && v.ours.CoveredAll && v.theirs.Result == "fail"
		}},
	{Rule{"strict-identity", "6376 §3.6.1 t=s", Ours, "the key wants i= to be d= itself: the library does not look at t=s"},
		func(v *dkimView) bool { return v.ours.Reason == dkim.KeyStrictIdentity }},
	{Rule{"key-records", "6376 §3.6.2.2", Both, "there are several TXT records at one name, for which the RFC defines nothing: the library refuses, postseal tries each key"},
		func(v *dkimView) bool { return len(v.keys) > 1 }},
	{Rule{"d-case", "6376 §3.5 i=", Ours, "domain names are case-insensitive: the library requires i= to end in exactly d="},
		func(v *dkimView) bool {
			return v.theirs.Err != nil && strings.Contains(v.theirs.Err.Error(), "domain mismatch") && v.ours.Reason != dkim.IdentityMismatch
		}},
	{Rule{"failure-order", "6376 §6.1", Both, "a signature that cannot pass and whose key cannot be looked up is refused for the one or the other"},
		func(v *dkimView) bool { return v.ours.Code != dkim.Pass && v.theirs.Result != "pass" }},
	{Rule{"time-syntax", "6376 §3.5 t=, x=", Both, "a time has 1 to 12 digits: the library takes any number"},
		func(v *dkimView) bool {
			return v.ours.Reason == dkim.Malformed && strings.Contains(v.ours.Problem, "no time")
		}},
	{Rule{"time-order", "6376 §3.5 x=", Ours, "x= must be after t=: the library does not compare them"},
		func(v *dkimView) bool {
			return v.ours.Reason == dkim.Malformed && strings.Contains(v.ours.Problem, "not after t=")
		}},
	{Rule{"own-name-signed", "6376 §5.4", Both, "h= names DKIM-Signature: postseal takes the next other one, the library the signature itself"},
		func(v *dkimView) bool { return slices.Contains(v.ours.SignedFields, "dkim-signature") }},
	{Rule{"value-syntax", "6376 §6.1.1", Ours, "a field name with a space in it, or a d= with a dot at its end, is a syntax error: the library takes them"},
		func(v *dkimView) bool {
			return v.ours.Reason == dkim.Malformed && v.theirs.Result == "pass" && badValue.MatchString(v.ours.Problem)
		}},
	{Rule{"base64-padding", "6376 §2.10", Ours, "base64string may end in zero, one or two =, whatever its length: the library requires the number that fits"},
		func(v *dkimView) bool {
			return v.theirs.Err != nil && strings.Contains(v.theirs.Err.Error(), "illegal base64 data") && v.ours.Code != dkim.Neutral
		}},
	{Rule{"canonical-syntax", "6376 §3.5 c=", Ours, "c= is one word, or two with a slash between: the library takes an empty one"},
		func(v *dkimView) bool { return v.ours.Reason == dkim.CanonicalUnknown && v.theirs.Result == "pass" }},
	{Rule{"key-folding", "6376 §3.6.1 p=", Ours, "white space is allowed inside p=: the library accepts only spaces"},
		func(v *dkimView) bool {
			return v.theirs.Err != nil && strings.Contains(v.theirs.Err.Error(), "key syntax error") && v.ours.Reason != dkim.KeyMalformed
		}},
	{Rule{"key-version", "6376 §3.6.1 v=", Ours, "v= must be the first tag of a key record, and the list must be one: the library does not look"},
		func(v *dkimView) bool { return v.ours.Reason == dkim.KeyMalformed && v.theirs.Result == "pass" }},
	{Rule{"empty-tag", "6376 §3.2", Ours, "the empty text between two semicolons is not a tag: the library skips it"},
		func(v *dkimView) bool {
			return v.ours.Reason == dkim.Malformed && v.theirs.Result == "pass" && strings.Contains(v.ours.Problem, "empty tag")
		}},
	{Rule{"u-label-key", "8616 §5", Ours, "a U-label in d= or s= is looked up as an A-label: the library asks for it as written"},
		func(v *dkimView) bool {
			return strings.Contains(v.ours.Selector+"."+v.ours.Domain, "xn--") && strings.IndexFunc(v.value(), func(r rune) bool { return r > 0x7f }) >= 0
		}},
	{Rule{"no-field", "5322 §2.2", Both, "a line that is not a field starts the body: the library reads on to the empty line"},
		func(v *dkimView) bool {
			return v.ours.Reason == dkim.BodyHashMismatch && v.theirs.Result == "pass" && v.header.Count("From") == 0
		}},
	{Rule{"b-in-value", "6376 §3.7", Ours, "only the tag b is emptied before hashing: the library empties everything that looks like b="},
		func(v *dkimView) bool { return len(bTag.FindAllString(v.value(), 2)) > 1 }},
}

// badValue lists what postseal reports for invalid values.
var badValue = regexp.MustCompile(`no list of field names|no domain name`)

// bTag matches what the library reads as the b= tag.
var bTag = regexp.MustCompile(`b\s*=`)

func (v *dkimView) value() string { return string(v.header.At(v.ours.FieldIndex).Value()) }

func dkimRule(v *dkimView) *Rule {
	for i := range dkimClasses {
		if dkimClasses[i].applies(v) {
			return &dkimClasses[i].Rule
		}
	}
	return nil
}
