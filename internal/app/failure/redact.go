package failure

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base32"
	"fmt"
	"net/mail"
	"slices"
	"strings"
	"time"

	"postseal"
	"postseal/bundle"
	"postseal/domain"
	"postseal/message"
)

// Redactor replaces local parts by codes: the same one by the same code, which only the holder
// of the key can tell from another's (RFC 6590 §3).
type Redactor struct{ key []byte }

// NewRedactor derives the key of a Redactor from the private key that signs reports, so that all
// hosts that share it write the same codes.
func NewRedactor(private any) (*Redactor, error) {
	octets, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, fmt.Errorf("the key of reports: %w", err)
	}
	key, err := hkdf.Key(sha256.New, octets, nil, "postseal: local parts in failure reports", sha256.Size)
	return &Redactor{key}, err
}

// code stands for a local part.
func (r *Redactor) code(local string) string {
	h := hmac.New(sha256.New, r.key)
	h.Write([]byte(local)) //nolint:errcheck // it cannot fail
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(h.Sum(nil)[:10]))
}

// Path returns an address with a code for its local part. What is not a domain name after the
// last "@" is left out; a path without "@" is all local part.
func (r *Redactor) Path(path string) string {
	if path == "" {
		return ""
	}
	at := strings.LastIndexByte(path, '@')
	if at < 0 {
		return r.code(path)
	}
	name, err := domain.Parse(path[at+1:])
	if err != nil {
		return r.code(path)
	}
	return r.code(path[:at]) + "@" + string(name)
}

// Bounds of what is shown of a header section.
const (
	maxFields = 20
	maxID     = 250 // octets of a Message-ID
	maxValue  = 4096
)

// headerOf returns the fields that identify a message and its signatures, each rebuilt from what
// was understood of it. All others are left out: they hold what people wrote, or tell who got the
// message (RFC 9991 §7.1).
func headerOf(r *postseal.Report, redact *Redactor) (list []HeaderField) {
	for i := 0; i < r.Header.Len() && len(list) < maxFields; i++ {
		f := r.Header.At(i)
		for _, s := range shown {
			if !f.Is(s.name) {
				continue
			}
			if value := s.value(r, redact, f); value != "" && len(value) <= maxValue {
				list = append(list, HeaderField{s.name, value})
			}
		}
	}
	return list
}

// shown are the fields of the header section that a report shows.
var shown = []struct {
	name  string
	value func(*postseal.Report, *Redactor, message.Field) string
}{
	{"From", func(r *postseal.Report, redact *Redactor, _ message.Field) string {
		if len(r.Author.Addresses) == 0 {
			return ""
		}
		return "<" + redact.Path(r.Author.Addresses[0]) + ">"
	}},
	{"Date", func(_ *postseal.Report, _ *Redactor, f message.Field) string {
		t, err := mail.ParseDate(strings.TrimSpace(string(f.Value())))
		if err != nil {
			return ""
		}
		return t.Format(time.RFC1123Z)
	}},
	{"Message-ID", messageID},
	{"DKIM-Signature", func(_ *postseal.Report, _ *Redactor, f message.Field) string {
		return strings.TrimSpace(bundle.RedactSignature(string(f.Value())))
	}},
}

// messageID returns the Message-ID, by which the owner of the domain finds the message in its own
// logs. One that holds a local part of an address of the message gets a code instead.
func messageID(r *postseal.Report, redact *Redactor, f message.Field) string {
	left, right, ok := strings.Cut(strings.TrimSpace(string(f.Value())), "@")
	right = strings.TrimSuffix(right, ">")
	name, err := domain.Parse(right)
	left, begins := strings.CutPrefix(left, "<")
	if !ok || !begins || err != nil || len(left) > maxID || left == "" || strings.ContainsFunc(left, func(c rune) bool { return c <= ' ' || c >= 0x7f || strings.ContainsRune(`<>()[]\",;:@`, c) }) {
		return ""
	}
	if slices.ContainsFunc(localParts(r), func(local string) bool { return strings.Contains(strings.ToLower(left), local) }) {
		left = redact.code(left)
	}
	return "<" + left + "@" + string(name) + ">"
}

// localParts are those of the envelope and of the author, in lower case.
func localParts(r *postseal.Report) (list []string) {
	for _, a := range append(append([]string{r.ReversePath}, r.Recipients...), r.Author.Addresses...) {
		local := strings.ToLower(a)
		if at := strings.LastIndexByte(a, '@'); at >= 0 {
			local = local[:at]
		}
		if local = strings.Trim(local, `"`); local != "" {
			list = append(list, local)
		}
	}
	return list
}
