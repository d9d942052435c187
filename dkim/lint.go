package dkim

import (
	"errors"
	"fmt"

	"postseal/internal/core/signature"
	"postseal/internal/core/tagvalue"
	"postseal/lint"
)

// Bounds of RSA keys in bits: what is advised, and what every verifier must take (RFC
// 8301 §3.2).
const (
	advisedKeyBits = 2048
	commonKeyBits  = 4096
)

// Lint says what is wrong with the text of a key record, or unwise in it, without asking
// the DNS.
func Lint(text string) []lint.Problem {
	k, err := signature.ParseKey(text)
	var syntax *signature.SyntaxError
	if errors.As(err, &syntax) {
		return []lint.Problem{{ID: "dkim.syntax", Severity: lint.Error, Offset: syntax.Offset, Message: syntax.Msg, Fix: "correct the record: verifiers find no key here", RFC: "6376 §3.6.1"}}
	}
	tags, _ := tagvalue.ParseRecord(text)
	l := &linter{tags: tags}
	l.key(k)
	if k.TestMode {
		l.add("testing", lint.Warning, "t", "t=y: verifiers may treat the mail as unsigned", "remove t=y when the tests are over", "6376 §3.6.1")
	}
	if k.Hashes != "" && signature.Listed(k.Hashes, "sha1") {
		l.add("sha1", lint.Info, "h", "h= names sha1, which must not be used any more", "remove h=, or write h=sha256", "8301 §3.1")
	}
	if _, ok := tagvalue.Get(tags, "g"); ok {
		l.add("granularity", lint.Info, "g", "g= is a tag of RFC 4871 that verifiers ignore", "remove g=", "6376 §C.2")
	}
	return l.problems
}

type linter struct {
	tags     []tagvalue.Tag
	problems []lint.Problem
}

func (l *linter) add(id string, s lint.Severity, tag, message, fix, rfc string) {
	t, _ := tagvalue.Get(l.tags, tag)
	l.problems = append(l.problems, lint.Problem{ID: "dkim." + id, Severity: s, Offset: t.NameOffset, Message: message, Fix: fix, RFC: rfc})
}

// key says why a key verifies nothing, or not enough.
func (l *linter) key(k *signature.Key) {
	switch {
	case k.Revoked:
		l.add("revoked", lint.Info, "p", "p= is empty: the key is revoked", "publish a key, or leave the record as a mark", "6376 §3.6.1")
		return
	case k.Type != "rsa" && k.Type != "ed25519":
		l.add("key-type", lint.Error, "k", "k= is neither rsa nor ed25519: no verifier can use it", "use k=rsa or k=ed25519", "6376 §3.6.1")
		return
	case k.Type == "rsa" && k.Bits < signature.MinKeyBits:
		l.add("key-weak", lint.Error, "p", fmt.Sprintf("an RSA key of %d bits verifies nothing", k.Bits), "make a key of 2048 bits", "8301 §3.2")
	case k.Type == "rsa" && k.Bits < advisedKeyBits:
		l.add("key-short", lint.Warning, "p", fmt.Sprintf("an RSA key of %d bits is within reach of an attacker", k.Bits), "make a key of 2048 bits", "8301 §3.2")
	case k.Bits > commonKeyBits:
		l.add("key-long", lint.Warning, "p", fmt.Sprintf("verifiers need not support %d bits", k.Bits), "make a key of 2048 bits", "8301 §3.2")
	}
	if k.Hashes != "" && !signature.Listed(k.Hashes, "sha256") {
		l.add("hash", lint.Error, "h", "h= does not include sha256: no verifier can use this key", "remove h=, or write h=sha256", "6376 §3.6.1")
	}
	if k.Services != "" && !signature.Listed(k.Services, "*") && !signature.Listed(k.Services, "email") {
		l.add("service", lint.Error, "s", "s= does not allow email: the key verifies no mail", "remove s=, or write s=email", "6376 §3.6.1")
	}
}
