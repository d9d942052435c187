// Package signature reads signature fields and key records, for DKIM (RFC 6376 §3.5, §3.6.1) and
// for ARC, which borrows both (RFC 8617 §4.1). It verifies one digest with one key; packages dkim
// and arc judge.
package signature

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"postseal/domain"
	"postseal/internal/core/bodyhash"
	"postseal/internal/core/reason"
	"postseal/internal/core/tagvalue"
)

// Field is a parsed DKIM-Signature field (RFC 6376 §3.5), or the ARC field that borrows its tags.
type Field struct {
	Algorithm       string // a=
	B               []byte // b=, decoded
	BodyHash        []byte // bh=, decoded
	HeaderCanonical bodyhash.Canonicalization
	BodyCanonical   bodyhash.Canonicalization
	Domain          domain.Name // d=
	Selector        domain.Name // s=
	Names           []string    // h=, lower case
	AUID            string      // i=, decoded
	Identity        domain.Name // the domain of AUID
	Length          int64       // l=, bodyhash.NoLimit without one
	Timestamp       int64       // t=, -1 without one
	Expiration      int64       // x=, -1 without one
	Copied          string      // z=, as it stands
	BText           string      // b=, as it stands
}

// SyntaxError says where and why a field or a key record cannot be used.
type SyntaxError struct {
	Offset int // in the text that was parsed
	Reason Reason
	Msg    string
}

// Error names the octet and what is wrong there.
func (e *SyntaxError) Error() string { return fmt.Sprintf("octet %d: %s", e.Offset, e.Msg) }

// ParseSignature parses the value of a DKIM-Signature field. Of a field that is at fault
// it returns what could be read, and a *SyntaxError.
func ParseSignature(value string) (*Field, error) {
	s := new(Field)
	if err := s.Parse(value); err != nil {
		return s, err
	}
	return s, nil
}

// Parse is ParseSignature into an empty s.
func (s *Field) Parse(value string) *SyntaxError {
	s.Length, s.Timestamp, s.Expiration = bodyhash.NoLimit, -1, -1
	tags, err := tagvalue.Parse(value)
	if err != nil {
		e := err.(*tagvalue.Error)
		return &SyntaxError{e.Offset, Malformed, e.Msg}
	}
	return s.fill(tags, "v", "a", "b", "bh", "d", "h", "s")
}

// ParseTags makes a Field of tags with the meaning that they have in a DKIM-Signature, as
// other signatures borrow them (RFC 8617 §4.1.2, §4.1.3). The tags named by required must be
// there. The error is a *SyntaxError.
func ParseTags(tags []tagvalue.Tag, required ...string) (*Field, error) {
	s := &Field{Length: bodyhash.NoLimit, Timestamp: -1, Expiration: -1}
	if err := s.fill(tags, required...); err != nil {
		return s, err
	}
	return s, nil
}

// fill takes all tags, those after the first fault too. Its error is that of the first.
func (s *Field) fill(tags []tagvalue.Tag, required ...string) *SyntaxError {
	var first *SyntaxError
	for _, t := range tags {
		if e := s.set(t); e != nil && first == nil {
			first = e
		}
	}
	if first == nil {
		first = s.complete(tags, required)
	}
	return first
}

// set takes one tag; names are case-sensitive, unknown ones ignored (RFC 6376 §3.2).
func (s *Field) set(t tagvalue.Tag) *SyntaxError {
	wrong := func(reason Reason, msg string) *SyntaxError {
		return &SyntaxError{t.ValueOffset, reason, t.Name + "=: " + msg}
	}
	var ok bool
	var err error
	switch t.Name {
	case "v":
		if t.Value != "1" {
			return wrong(UnknownVersion, "version is not 1")
		}
	case "a":
		s.Algorithm = t.Value
		return s.algorithm(wrong)
	case "b":
		s.BText = t.Value
		if s.B, ok = decodeBase64(t.Value); !ok || len(s.B) == 0 {
			return wrong(Malformed, "no base64")
		}
	case "bh":
		if s.BodyHash, ok = decodeBase64(t.Value); !ok || len(s.BodyHash) == 0 {
			return wrong(Malformed, "no base64")
		}
	case "c":
		return s.canonical(t.Value, wrong)
	case "d":
		if s.Domain, err = domain.Parse(t.Value); err != nil || strings.HasSuffix(t.Value, ".") {
			return wrong(Malformed, "no domain name")
		}
	case "s":
		if s.Selector, err = domain.Parse(t.Value); err != nil || strings.HasSuffix(t.Value, ".") {
			return wrong(Malformed, "no selector")
		}
	case "h":
		if s.Names, ok = fieldNames(t.Value); !ok {
			return wrong(Malformed, "no list of field names")
		}
	case "i":
		if s.AUID, ok = DecodeQuotedPrintable(t.Value); !ok {
			return wrong(Malformed, "no identity")
		}
		at := strings.LastIndexByte(s.AUID, '@')
		if s.Identity, err = domain.Parse(s.AUID[at+1:]); at < 0 || err != nil {
			return wrong(Malformed, "no identity with a domain name")
		}
	case "l":
		if s.Length, ok = parseNumber(t.Value, 76); !ok {
			return wrong(Malformed, "no number")
		}
	case "q":
		return queryMethod(t.Value, wrong)
	case "z":
		s.Copied = t.Value
	case "t":
		return seconds(&s.Timestamp, t.Value, wrong)
	case "x":
		return seconds(&s.Expiration, t.Value, wrong)
	}
	return nil
}

func seconds(to *int64, value string, wrong func(Reason, string) *SyntaxError) *SyntaxError {
	var ok bool
	if *to, ok = parseNumber(value, 12); !ok {
		return wrong(Malformed, "no time")
	}
	return nil
}

// algorithm: rsa-sha256 and ed25519-sha256 (RFC 8301 §3.1, RFC 8463 §3).
func (s *Field) algorithm(wrong func(Reason, string) *SyntaxError) *SyntaxError {
	switch s.Algorithm {
	case "rsa-sha256", "ed25519-sha256":
		return nil
	case "rsa-sha1":
		return wrong(AlgorithmForbidden, "rsa-sha1 must not be used (RFC 8301 §3.1)")
	}
	text := s.Algorithm
	s.Algorithm = ""
	return wrong(AlgorithmUnknown, "unknown algorithm "+reason.Quote(text))
}

// canonical: one word is that of the header, with simple for the body (RFC 6376 §3.5).
func (s *Field) canonical(value string, wrong func(Reason, string) *SyntaxError) *SyntaxError {
	header, body, both := strings.Cut(value, "/")
	var ok, bodyOK bool
	s.HeaderCanonical, ok = canonicalWord(header)
	bodyOK = true
	if both {
		s.BodyCanonical, bodyOK = canonicalWord(body)
	}
	if !ok || !bodyOK {
		return wrong(CanonicalUnknown, "unknown canonicalization "+reason.Quote(value))
	}
	return nil
}

func canonicalWord(s string) (bodyhash.Canonicalization, bool) {
	switch s {
	case "simple":
		return bodyhash.Simple, true
	case "relaxed":
		return bodyhash.Relaxed, true
	}
	return bodyhash.Simple, false
}

func queryMethod(value string, wrong func(Reason, string) *SyntaxError) *SyntaxError {
	for m := range strings.SplitSeq(value, ":") {
		if tagvalue.StripFWS(m) == "dns/txt" {
			return nil
		}
	}
	return wrong(QueryUnknown, "no query method known here in "+reason.Quote(value))
}

// complete checks what concerns several tags.
func (s *Field) complete(tags []tagvalue.Tag, required []string) *SyntaxError {
	for _, name := range required {
		if _, ok := tagvalue.Get(tags, name); !ok {
			return &SyntaxError{0, MissingTag, "required tag " + name + "= is missing"}
		}
	}
	if s.AUID == "" {
		s.AUID, s.Identity = "@"+string(s.Domain), s.Domain
	}
	offset := func(name string) int {
		t, _ := tagvalue.Get(tags, name)
		return t.ValueOffset
	}
	switch {
	case s.BodyHash != nil && len(s.BodyHash) != sha256.Size:
		return &SyntaxError{offset("bh"), Malformed, "bh=: not the 32 octets of SHA-256"}
	case !s.Identity.Within(s.Domain):
		return &SyntaxError{offset("i"), IdentityMismatch, "i= is not within d="}
	case s.Names != nil && !slices.Contains(s.Names, "from"):
		return &SyntaxError{offset("h"), FromNotSigned, "h= does not name From"}
	case s.Expiration >= 0 && s.Timestamp >= 0 && s.Expiration <= s.Timestamp:
		return &SyntaxError{offset("x"), Malformed, "x= is not after t="}
	}
	return nil
}

// fieldNames reads hdr-name *( [FWS] ":" [FWS] hdr-name ) in lower case (RFC 6376 §3.5 h=).
func fieldNames(value string) ([]string, bool) {
	list := make([]byte, 0, len(value)) // without white space
	empty, ended := true, false         // the name at hand: nothing of it yet, white space after it
	for i := range len(value) {
		c := value[i]
		switch {
		case tagvalue.IsFWS(c):
			ended = !empty
			continue
		case c == ':':
			if empty {
				return nil, false
			}
			empty, ended = true, false
		case c < 33 || c >= 0x7f || c == ';' || ended:
			return nil, false
		default:
			empty = false
			if c >= 'A' && c <= 'Z' {
				c += 'a' - 'A'
			}
		}
		list = append(list, c)
	}
	if empty {
		return nil, false
	}
	return strings.Split(string(list), ":"), true
}

// decodeBase64 decodes base64string (RFC 6376 §2.10): white space means nothing, and up to two "=" at
// the end may be there or not.
func decodeBase64(value string) (data []byte, ok bool) {
	digits := strings.TrimSuffix(strings.TrimSuffix(tagvalue.StripFWS(value), "="), "=")
	data, err := base64.RawStdEncoding.DecodeString(digits)
	return data, err == nil
}

// DecodeQuotedPrintable decodes dkim-quoted-printable (RFC 6376 §2.11): white space means
// nothing, every octet may stand as "=XX".
func DecodeQuotedPrintable(value string) (string, bool) {
	value = tagvalue.StripFWS(value)
	if strings.IndexByte(value, '=') < 0 {
		return value, true
	}
	b := make([]byte, 0, len(value))
	for i := 0; i < len(value); i++ {
		if value[i] != '=' {
			b = append(b, value[i])
			continue
		}
		if i+2 >= len(value) {
			return "", false
		}
		n, err := strconv.ParseUint(value[i+1:i+3], 16, 8)
		if err != nil {
			return "", false
		}
		b = append(b, byte(n))
		i += 2
	}
	return string(b), true
}

// parseNumber reads up to most digits; what exceeds an int64 is its maximum.
func parseNumber(value string, most int) (int64, bool) {
	if value == "" || len(value) > most {
		return -1, false
	}
	for i := range len(value) {
		if value[i] < '0' || value[i] > '9' {
			return -1, false
		}
	}
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		return math.MaxInt64, true
	}
	return n, true
}
