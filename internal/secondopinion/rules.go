package secondopinion

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"

	"postseal/dkim"
	"postseal/message"
	"postseal/spf"
)

// Right says whose verdict a rule supports.
type Right string

// The sides. Both is a choice that the standard leaves to the verifier.
const (
	Ours Right = "ours"
	Both Right = "both"
)

// Rule is what decides a known difference: an input class, the section of the RFC, who is
// right, and why.
type Rule struct {
	ID    string `json:"id"`
	RFC   string `json:"rfc"`
	Right Right  `json:"right"`
	Why   string `json:"why"`
}

// String is one line for people.
func (r *Rule) String() string { return fmt.Sprintf("%s (RFC %s)", r.Why, r.RFC) }

// spfView is what a rule may look at.
type spfView struct {
	ip      netip.Addr
	helo    string
	sender  string
	ours    spf.Result
	theirs  string
	records []string // SPF records that the library read
	failed  bool     // a lookup of the library failed
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
	{Rule{"no-domain", "7208 §4.3", Ours, "a name that is no multi-label domain has no record: the library looks for one"},
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
	{Rule{"p-macro", "7208 §7.3", Ours, "%{p} is the validated name: the library always takes \"unknown\""},
		func(v *spfView) bool { return v.anyMacro("p") }},
	{Rule{"void-lookups", "7208 §4.6.4", Ours, "a term whose one lookup is void counts: the library asks for A and AAAA, and counts when both are void"},
		func(v *spfView) bool { return v.ours.Reason == spf.TooManyVoids }},
	{Rule{"failed-family", "7208 §5", Ours, "only the lookup of the client's family matters: the library asks for both"},
		func(v *spfView) bool { return v.failed && v.ours.Code != spf.TempError && v.theirs == "temperror" }},
	{Rule{"null-sender-macros", "7208 §4.3", Ours, "the local part of a sender without one is postmaster: the library leaves it empty"},
		func(v *spfView) bool { return emptyLocal(v.sender) && v.anyMacro("slo") }},
	{Rule{"long-name", "7208 §7.3", Ours, "an expanded name over 253 octets loses labels on its left: the library looks it up whole"},
		(*spfView).mayBeTruncated},
}

// mayBeTruncated reports whether a name that we looked up, with a label of 63 octets more
// on its left, would be over 253 octets.
func (v *spfView) mayBeTruncated() bool {
	for _, s := range v.ours.Spent {
		if len(s.Name)+64 > 253 && strings.Contains(s.Term, "%{") {
			return true
		}
	}
	return false
}

// syntaxReasons are those of a record that is none.
var syntaxReasons = map[spf.Reason]bool{spf.UnknownMechanism: true, spf.BadTerm: true, spf.BadDomainSpec: true, spf.BadMacro: true,
	spf.BadAddress: true, spf.BadPrefix: true, spf.DuplicateModifier: true}

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

// slashInDomain: a, mx and the like with a "/" that begins no prefix length.
func slashInDomain(term string) bool {
	_, spec, ok := strings.Cut(term, ":")
	if !ok {
		return false
	}
	i := strings.IndexByte(spec, '/')
	return i >= 0 && strings.Trim(spec[i:], "/0123456789") != ""
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

// dkimView is what a rule may look at.
type dkimView struct {
	ours   *dkim.Signature
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
	{Rule{"body-first", "6376 §6.1.3", Both, "a body that changed fails whatever the key: postseal says so before it needs the key"},
		func(v *dkimView) bool {
			return v.ours.Reason == dkim.BodyHashMismatch && v.theirs.Result == "temperror"
		}},
	{Rule{"local-policy", "6376 §6.3", Both, "the signature verifies; a local rule refuses it"},
		func(v *dkimView) bool { return v.ours.Result == dkim.Policy && v.theirs.Result == "pass" }},
	{Rule{"real-clock", "6376 §3.5 x=", Both, "the library compares x= with the clock of the machine, without skew"},
		func(v *dkimView) bool {
			return v.theirs.Err != nil && strings.Contains(v.theirs.Err.Error(), "expired")
		}},
	{Rule{"body-length", "6376 §3.5 l=", Ours, "l= that covers the whole body is no weakness: the library refuses every l="},
		func(v *dkimView) bool {
			return v.ours.BodyLength >= 0 && v.ours.CoveredAll && v.theirs.Result == "fail"
		}},
	{Rule{"strict-identity", "6376 §3.6.1 t=s", Ours, "the key wants i= to be d= itself: the library does not look at t=s"},
		func(v *dkimView) bool { return v.ours.Reason == dkim.KeyStrictIdentity }},
	{Rule{"key-records", "6376 §3.6.2.2", Both, "several TXT records stand at one name, for which the RFC defines nothing: the library refuses, postseal tries each key"},
		func(v *dkimView) bool { return len(v.keys) > 1 }},
	{Rule{"b-in-value", "6376 §3.7", Ours, "only the tag b is emptied before hashing: the library empties whatever looks like b="},
		func(v *dkimView) bool { return len(bTag.FindAllString(v.value(), 2)) > 1 }},
}

// bTag is what the library takes for the b= tag.
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
