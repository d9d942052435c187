package differential

import (
	"context"
	"regexp"
	"slices"
	"strings"

	"postseal/dkim"
	"postseal/resolver"
)

type dkimClass struct {
	Class
	verifiers []string
	applies   func(*dkimView) bool
}

// The classes of a message of which a verifier does not list every signature.
var (
	unlistedSignature = Class{"unlisted-signature", "6376 §6.1", both, "the verifier does not list a signature that it cannot read: we say neutral of it"}
	messageCrash      = Class{"message-crash", "6376 §6.1.1", ours, "one signature with an unknown canonicalization ends the verification of them all with an exception"}
)

// dkimClasses is the reviewed table: the first class of a verifier that applies names the
// disagreement.
var dkimClasses = []dkimClass{
	{Class{"no-ed25519", "8463 §3", ours, "the verifier does not know ed25519-sha256"},
		[]string{"Mail::DKIM", "OpenDKIM"}, func(v *dkimView) bool { return v.sig().Algorithm == "ed25519-sha256" && v.theirs() != "pass" }},
	{Class{"message-syntax", "5322 §3.6", both, "the verifier takes no message with a field that must stand once missing or twice, or with white space before a colon"},
		[]string{"OpenDKIM", "dkimpy"}, func(v *dkimView) bool {
			return strings.Contains(v.detail, "dkim_chunk(): Syntax error") || strings.Contains(v.detail, "MessageFormatError")
		}},
	{Class{"rsa-public-key", "6376 §3.6.1", ours, "p= may hold an RSAPublicKey: the verifier reads SubjectPublicKeyInfo only"},
		[]string{"Mail::DKIM", "OpenDKIM"}, func(v *dkimView) bool { return v.theirs() != "pass" && v.anyKey(matches(rsaPublicKey)) }},
	{Class{"key-records", "6376 §3.6.2.2", both, "several TXT records stand at one name, for which the RFC defines nothing: we try each key"},
		[]string{"Mail::DKIM", "dkimpy", "OpenDKIM", "mailauth"}, func(v *dkimView) bool { return len(v.keyTexts()) > 1 }},
	{Class{"dns-failure", "6376 §6.1.2", ours, "a failed key lookup is a temporary failure"},
		[]string{"Mail::DKIM"}, func(v *dkimView) bool { return v.reason() == dkim.KeyUnavailable && v.theirs() != "pass" }},
	{Class{"failure-order", "6376 §6.1", both, "a signature that cannot pass and whose key cannot be looked up is refused for the one or the other"},
		[]string{"dkimpy", "mailauth"}, func(v *dkimView) bool { return v.theirs() != "pass" && v.sig().Code != dkim.Pass }},
	{Class{"local-policy", "6376 §6.3", both, "the signature verifies, and a local rule of ours refuses it: l=, a time in the future"},
		[]string{"Mail::DKIM", "dkimpy", "OpenDKIM", "mailauth"}, func(v *dkimView) bool { return v.sig().Code == dkim.Policy && v.theirs() == "pass" }},
	{Class{"time-syntax", "6376 §3.5 t=, x=", both, "a time has 1 to 12 digits; a verifier may take a longer one for infinite, or ignore an invalid one"},
		[]string{"Mail::DKIM", "dkimpy", "OpenDKIM"}, func(v *dkimView) bool { return v.said(dkim.Malformed, "no time") }},
	{Class{"time-order", "6376 §3.5 x=", ours, "x= must be after t="},
		[]string{"Mail::DKIM", "dkimpy", "OpenDKIM"}, func(v *dkimView) bool { return v.said(dkim.Malformed, "not after t=") }},
	{Class{"duplicate-tag", "6376 §3.2", ours, "a tag that occurs twice spoils the whole list"},
		[]string{"Mail::DKIM", "dkimpy", "OpenDKIM", "mailauth"}, func(v *dkimView) bool {
			return v.said(dkim.Malformed, "second tag") || v.said(dkim.KeyMalformed, "second tag")
		}},
	{Class{"empty-element", "6376 §3.2", both, "an empty element between two semicolons of a key record: we skip it, the verifier refuses the record"},
		[]string{"dkimpy", "OpenDKIM", "mailauth"}, func(v *dkimView) bool { return v.theirs() != "pass" && v.anyKey(matches(emptyTag)) }},
	{Class{"limit-beyond-body", "6376 §3.5 l=", ours, "l= must not be more than the body has"},
		[]string{"Mail::DKIM", "dkimpy", "OpenDKIM", "mailauth"}, func(v *dkimView) bool { return v.reason() == dkim.LimitBeyondBody }},
	{Class{"no-final-line-end", "6376 §3.4.3, §3.4.4", ours, "a last line without CRLF is canonicalized like every other"},
		[]string{"Mail::DKIM", "dkimpy", "OpenDKIM"}, func(v *dkimView) bool { return v.theirs() != "pass" && !strings.HasSuffix(string(v.Message), "\r\n") }},
	{Class{"own-name-signed", "6376 §5.4", both, "h= names DKIM-Signature: we take the next other one, the verifier the signature itself"},
		[]string{"Mail::DKIM", "dkimpy", "OpenDKIM", "mailauth"}, func(v *dkimView) bool { return slices.Contains(v.sig().SignedFields, "dkim-signature") }},
	{Class{"query-methods", "6376 §3.5 q=", ours, "q= is a list: dns/txt in it is enough"},
		[]string{"dkimpy", "Mail::DKIM", "OpenDKIM"}, func(v *dkimView) bool { return v.theirs() != "pass" && v.fieldMatches(otherMethod) }},
	{Class{"service-list", "6376 §3.6.1 s=", ours, "s= is a list: email in it is enough"},
		[]string{"dkimpy", "Mail::DKIM", "OpenDKIM"}, func(v *dkimView) bool { return v.theirs() != "pass" && v.anyKey(matches(serviceList)) }},
	{Class{"trailing-space", "6376 §3.4.1, §3.4.2", ours, "simple keeps white space at the end of the signature field, relaxed drops it"},
		[]string{"dkimpy"}, func(v *dkimView) bool {
			return strings.HasSuffix(v.field(), " ") || strings.HasSuffix(v.field(), "\t")
		}},
	{Class{"second-from", "6376 §8.15", both, "a second From field that is not signed breaks no signature: the verifier refuses it here, DMARC does with us"},
		[]string{"dkimpy"}, func(v *dkimView) bool {
			return v.theirs() == "fail" && v.count("from") > 1
		}},
	{Class{"early-time", "6376 §3.5 t=", ours, "t= may be any time since 1970"},
		[]string{"OpenDKIM"}, func(v *dkimView) bool {
			return v.theirs() != "pass" && !v.sig().Timestamp.IsZero() && v.sig().Timestamp.Unix() < 1000
		}},
	{Class{"canonical-syntax", "6376 §3.5 c=", ours, "c= is one word, or two with a slash between"},
		[]string{"Mail::DKIM", "dkimpy", "OpenDKIM", "mailauth"}, func(v *dkimView) bool { return v.reason() == dkim.CanonicalUnknown && v.theirs() == "pass" }},
	{Class{"auid-syntax", "6376 §3.5 i=", both, "the local part of i= is that of RFC 5321, which has no second @: we look at the domain only"},
		[]string{"mailauth", "OpenDKIM"}, func(v *dkimView) bool { return v.theirs() != "pass" && strings.Count(v.sig().AUID, "@") > 1 }},
	{Class{"b-in-value", "6376 §3.7", ours, "only the tag b is emptied before hashing: the verifier takes another tag that ends in b, or a value that begins so, for it"},
		[]string{"OpenDKIM", "dkimpy"}, func(v *dkimView) bool {
			return v.theirs() != "pass" && (v.fieldMatches(endsInB) || len(spacedB.FindAllString(v.field(), 2)) > 1)
		}},
	{Class{"first-tag-b", "6376 §3.7", ours, "b= may be the first tag, right after the colon: the verifier then does not empty it before hashing"},
		[]string{"dkimpy"}, func(v *dkimView) bool { return v.theirs() != "pass" && v.fieldMatches(firstB) }},
	{Class{"base64-space", "6376 §2.10", ours, "white space may stand anywhere in base64string"},
		[]string{"dkimpy"}, func(v *dkimView) bool {
			return v.theirs() != "pass" && v.sig().Code == dkim.Pass && strings.Contains(v.detail, "is not valid base64")
		}},
	{Class{"base64-padding", "6376 §2.10", ours, "base64string ends in none, one or two =, whatever its length"},
		[]string{"Mail::DKIM", "dkimpy", "OpenDKIM", "mailauth"}, func(v *dkimView) bool { return v.theirs() != "pass" && oddPadding(v.field()) }},
	{Class{"value-syntax", "6376 §6.1.1", ours, "a value that is not base64, number or domain name is a syntax error, and there is no liberty in what to accept"},
		[]string{"Mail::DKIM", "dkimpy", "OpenDKIM", "mailauth"}, func(v *dkimView) bool {
			return v.theirs() == "pass" && (v.reason() == dkim.Malformed || v.reason() == dkim.KeyMalformed) && badValue.MatchString(v.sig().Problem)
		}},
	{Class{"key-version", "6376 §3.6.1 v=", ours, "v= must be the first tag of a key record, and DKIM1"},
		[]string{"dkimpy", "Mail::DKIM", "OpenDKIM", "mailauth"}, func(v *dkimView) bool { return v.said(dkim.KeyMalformed, "v= is not") }},
	{Class{"key-rules", "6376 §6.1.2", ours, "the key is for another algorithm, hash or service"},
		[]string{"dkimpy", "OpenDKIM"}, func(v *dkimView) bool {
			return v.theirs() == "pass" && slices.Contains([]dkim.Reason{dkim.KeyHashForbidden, dkim.KeyTypeMismatch, dkim.KeyNotForEmail, dkim.KeyStrictIdentity}, v.reason())
		}},
	{Class{"key-type", "6376 §3.6.1 k=", ours, "a key without k= is an RSA key, whatever the signature says"},
		[]string{"OpenDKIM"}, func(v *dkimView) bool {
			return v.theirs() == "pass" && v.sig().Algorithm == "ed25519-sha256" && v.said(dkim.KeyMalformed, "no RSA public key")
		}},
	{Class{"key-granularity", "6376 §3.6.1", ours, "g= is historic: it is ignored"},
		[]string{"Mail::DKIM"}, func(v *dkimView) bool { return strings.Contains(v.detail, "granularity") }},
	{Class{"version", "6376 §3.5 v=", ours, "v= must be 1"},
		[]string{"Mail::DKIM", "dkimpy", "OpenDKIM"}, func(v *dkimView) bool { return v.reason() == dkim.UnknownVersion }},
	{Class{"required-tag", "6376 §3.5", ours, "v, a, b, bh, d, h and s must stand"},
		[]string{"Mail::DKIM", "dkimpy", "OpenDKIM"}, func(v *dkimView) bool { return v.reason() == dkim.MissingTag }},
	{Class{"word-case", "6376 §3.2", ours, "values have case: RSA-SHA256 and Relaxed are not known words"},
		[]string{"Mail::DKIM", "dkimpy", "OpenDKIM", "mailauth"}, func(v *dkimView) bool {
			return v.reason() == dkim.AlgorithmUnknown && v.fieldMatches(upperAlgorithm) || v.reason() == dkim.CanonicalUnknown && v.fieldMatches(upperCanonical)
		}},
	{Class{"selector-underscore", "6376 §3.1", both, "a selector is made of sub-domains of RFC 5321, which have no underscore; names in use do"},
		[]string{"mailauth"}, func(v *dkimView) bool { return v.theirs() != "pass" && strings.Contains(v.sig().Selector, "_") }},
	{Class{"tag-space", "6376 §3.2", ours, "white space may stand on both sides of the name of a tag"},
		[]string{"Mail::DKIM", "OpenDKIM", "mailauth"}, func(v *dkimView) bool { return v.theirs() != "pass" && v.fieldMatches(spacedTag) }},
}

var (
	emptyTag       = regexp.MustCompile(`;[ \t]*;`)
	rsaPublicKey   = regexp.MustCompile(`p=MI(GJ|IBCg)`)
	firstB         = regexp.MustCompile(`^[^:]*:b\s*=`)
	endsInB        = regexp.MustCompile(`(^|[;\s])[A-Za-z0-9_]+b\s*=`)
	spacedB        = regexp.MustCompile(`[;\s]b\s*=`)
	badValue       = regexp.MustCompile(`no base64|no number|no domain name|no selector|no list of field names`)
	otherMethod    = regexp.MustCompile(`http|q\s*=\s*\s dns/txt`)
	serviceList    = regexp.MustCompile(`s=email:`)
	upperAlgorithm = regexp.MustCompile(`RSA-SHA256`)
	upperCanonical = regexp.MustCompile(`Relaxed`)
	spacedTag      = regexp.MustCompile(`(^|;)[ \t\r\n]*[A-Za-z][A-Za-z0-9_]*[ \t\r\n]+=`)
)

func (v *dkimView) sig() *dkim.Result { return &v.ours[v.index] }

func (v *dkimView) theirs() string {
	if v.index < len(v.results) {
		return v.results[v.index]
	}
	return v.results[0]
}

func (v *dkimView) reason() dkim.Reason { return v.sig().Reason }

// said reports whether we gave reason for the signature, with a problem that has text in
// it.
func (v *dkimView) said(reason dkim.Reason, text string) bool {
	return v.reason() == reason && strings.Contains(v.sig().Problem, text)
}

// keyTexts are the TXT records of the signature's key.
func (v *dkimView) keyTexts() []string {
	a, err := v.Zone.Lookup(context.Background(), v.sig().Selector+"._domainkey."+v.sig().Domain, resolver.TXT)
	if err != nil {
		return nil
	}
	texts := make([]string, 0, len(a.Records))
	for _, r := range a.Records {
		texts = append(texts, r.Text)
	}
	return texts
}

func (v *dkimView) anyKey(is func(string) bool) bool { return slices.ContainsFunc(v.keyTexts(), is) }

// count counts the fields of a name.
func (v *dkimView) count(name string) int {
	n := 0
	for _, f := range v.fields {
		if fieldName(f) == name {
			n++
		}
	}
	return n
}

// field is the text of the signature.
func (v *dkimView) field() string { return v.fields[v.sig().FieldIndex] }

func (v *dkimView) fieldMatches(r *regexp.Regexp) bool { return r.MatchString(v.field()) }
