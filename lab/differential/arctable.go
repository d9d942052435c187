package differential

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"postseal/arc"
)

type arcClass struct {
	Class
	verifiers []string
	applies   func(*arcView) bool
}

// arcClasses is the reviewed table: the first class of a verifier that applies names the
// disagreement.
var arcClasses = []arcClass{
	{Class{"message-syntax", "5322 §2.2", both, "the verifier takes no message with white space before the colon of a field"},
		[]string{"dkimpy"}, func(v *arcView) bool { return strings.Contains(v.detail, "MessageFormatError") }},
	{Class{"default-canonicalization", "6376 §3.5 c=", ours, "an ARC-Message-Signature without c= is simple/simple"},
		[]string{"dkimpy"}, func(v *arcView) bool {
			return v.theirs == "fail" && slices.ContainsFunc(v.all("arc-message-signature"), withoutCanonical)
		}},
	{Class{"status-case", "6376 §3.2", ours, "values have case unless their tag says otherwise: cv=Pass is not pass"},
		[]string{"mailauth"}, func(v *arcView) bool { return v.theirs == "pass" && bytes.Contains(v.Message, []byte("cv=Pass")) }},
	{Class{"key-record", "6376 §3.6.1", ours, "RSAPublicKey in p=, a list in s=, an old g=: the verifier does not take such a key"},
		[]string{"dkimpy", "Mail::DKIM"}, func(v *arcView) bool { return v.theirs == "fail" && v.anyKey(matches(unusualKey)) }},
	{Class{"key-records", "6376 §3.6.2.2", both, "several TXT records stand at one name, for which the RFC defines nothing: we try each key"},
		[]string{"dkimpy", "Mail::DKIM", "mailauth"}, (*arcView).severalKeys},
	{Class{"key-syntax", "6376 §3.6.1", ours, "a key record with a tag twice, of another hash, or with octets in p= that are not base64 is unusable"},
		[]string{"dkimpy", "Mail::DKIM"}, func(v *arcView) bool { return v.theirs == "pass" && v.ours.Reason == arc.KeyUnusable }},
	{Class{"value-syntax", "6376 §6.1.1", ours, "a value that is not base64 is a syntax error, and there is no liberty in what to accept"},
		[]string{"Mail::DKIM", "mailauth"}, func(v *arcView) bool { return v.theirs == "pass" && v.ours.Reason == arc.Malformed }},
	{Class{"field-order", "8617 §5.1.1", ours, "the seals cover the fields in the order of the instances, wherever they stand in the message"},
		[]string{"dkimpy"}, func(v *arcView) bool { return v.theirs == "fail" && !v.inOrder() }},
	{Class{"colon-space", "8617 §4.1", ours, "no white space has to stand between the colon and i="},
		[]string{"dkimpy"}, func(v *arcView) bool { return strings.Contains(v.detail, "IndexError") }},
	{Class{"second-from", "6376 §8.15", both, "a second From field that is not signed breaks no signature: the verifier refuses it here, DMARC does with us"},
		[]string{"dkimpy"}, func(v *arcView) bool { return v.theirs == "fail" && len(v.all("from")) > 1 }},
	{Class{"no-final-line-end", "6376 §3.4.3, §3.4.4", ours, "a last line without CRLF is canonicalized like every other"},
		[]string{"dkimpy", "Mail::DKIM"}, func(v *arcView) bool { return v.theirs == "fail" && !bytes.HasSuffix(v.Message, []byte("\r\n")) }},
}

var (
	canonicalTag = regexp.MustCompile(`[;\s]c=(simple|relaxed)`)
	unusualKey   = regexp.MustCompile(`p=MI(GJ|IBCg)|s=email:|g=`)
)

func withoutCanonical(field string) bool { return !canonicalTag.MatchString(field) }

// all are the fields of a name.
func (v *arcView) all(name string) []string {
	var all []string
	for _, f := range splitFields(v.Message) {
		if fieldName(f) == name {
			all = append(all, f)
		}
	}
	return all
}

func (v *arcView) anyKey(is func(string) bool) bool {
	for _, sets := range v.Zone.RR {
		if slices.ContainsFunc(sets["TXT"], is) {
			return true
		}
	}
	return false
}

func (v *arcView) severalKeys() bool {
	for _, sets := range v.Zone.RR {
		if len(sets["TXT"]) > 1 {
			return true
		}
	}
	return false
}

// inOrder: each set stands as it was put in, seal first, the newest set on top.
func (v *arcView) inOrder() bool {
	order := []string{"arc-seal", "arc-message-signature", "arc-authentication-results"}
	n, newest := 0, len(v.all("arc-seal"))
	for _, f := range splitFields(v.Message) {
		if !strings.HasPrefix(fieldName(f), "arc-") {
			continue
		}
		if fieldName(f) != order[n%3] || !strings.Contains(f, fmt.Sprintf("i=%d;", newest-n/3)) {
			return false
		}
		n++
	}
	return true
}
