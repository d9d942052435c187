package dkim

import (
	"errors"
	"fmt"

	"postseal/internal/tagvalue"
)

// Severity is how bad a Problem is.
type Severity string

// The severities.
const (
	SeverityError   Severity = "error"
	SeverityWarning Severity = "warn"
	SeverityInfo    Severity = "info"
)

// Problem is a finding about the text of a key record.
type Problem struct {
	ID       string // stable
	Severity Severity
	Offset   int // in the text
	Message  string
	Fix      string
	RFC      string
}

// Bounds of RSA keys in bits: what is advised, and what every verifier must take (RFC
// 8301 §3.2).
const (
	advisedKeyBits = 2048
	commonKeyBits  = 4096
)

// Lint says what is wrong with the text of a key record, or unwise in it, without asking
// the DNS.
func Lint(text string) []Problem {
	k, err := ParseKey(text)
	var syntax *SyntaxError
	if errors.As(err, &syntax) {
		return []Problem{{"dkim.syntax", SeverityError, syntax.Offset, syntax.Msg, "verifiers find no key here: correct the record", "6376 §3.6.1"}}
	}
	tags, _ := tagvalue.Parse(text)
	l := &linter{tags: tags}
	l.key(k)
	if k.TestMode {
		l.add("testing", SeverityWarning, "t", "t=y: verifiers may treat the mail as unsigned", "remove t=y when the tests are over", "6376 §3.6.1")
	}
	if k.Hashes != "" && listed(k.Hashes, "sha1") {
		l.add("sha1", SeverityInfo, "h", "h= names sha1, which nobody may use any more", "remove h=, or write h=sha256", "8301 §3.1")
	}
	if _, ok := tagvalue.Get(tags, "g"); ok {
		l.add("granularity", SeverityInfo, "g", "g= is a tag of RFC 4871 that verifiers ignore", "remove g=", "6376 §C.2")
	}
	return l.problems
}

type linter struct {
	tags     []tagvalue.Tag
	problems []Problem
}

func (l *linter) add(id string, s Severity, tag, message, fix, rfc string) {
	t, _ := tagvalue.Get(l.tags, tag)
	l.problems = append(l.problems, Problem{"dkim." + id, s, t.NameOffset, message, fix, rfc})
}

// key says why a key verifies nothing, or not enough.
func (l *linter) key(k *Key) {
	switch {
	case k.Revoked:
		l.add("revoked", SeverityInfo, "p", "p= is empty: the key is revoked", "publish a key, or leave the record as a mark", "6376 §3.6.1")
		return
	case k.Type != "rsa" && k.Type != "ed25519":
		l.add("key-type", SeverityError, "k", "k= is neither rsa nor ed25519: nobody can verify with it", "use k=rsa or k=ed25519", "6376 §3.6.1")
		return
	case k.Type == "rsa" && k.Bits < minKeyBits:
		l.add("key-weak", SeverityError, "p", fmt.Sprintf("an RSA key of %d bits verifies nothing", k.Bits), "make a key of 2048 bits", "8301 §3.2")
	case k.Type == "rsa" && k.Bits < advisedKeyBits:
		l.add("key-short", SeverityWarning, "p", fmt.Sprintf("an RSA key of %d bits is within reach of an attacker", k.Bits), "make a key of 2048 bits", "8301 §3.2")
	case k.Bits > commonKeyBits:
		l.add("key-long", SeverityWarning, "p", fmt.Sprintf("verifiers need not support %d bits", k.Bits), "make a key of 2048 bits", "8301 §3.2")
	}
	if k.Hashes != "" && !listed(k.Hashes, "sha256") {
		l.add("hash", SeverityError, "h", "h= leaves sha256 out: nobody can verify with this key", "remove h=, or write h=sha256", "6376 §3.6.1")
	}
	if k.Services != "" && !listed(k.Services, "*") && !listed(k.Services, "email") {
		l.add("service", SeverityError, "s", "s= does not allow email: the key verifies no mail", "remove s=, or write s=email", "6376 §3.6.1")
	}
}
