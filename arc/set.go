package arc

import (
	"encoding/base64"
	"math"
	"strconv"
	"strings"

	"postseal/internal/bodyhash"
	"postseal/internal/domain"
	"postseal/internal/tagvalue"
	"postseal/message"
)

// MaxSets is the most instances of a chain (RFC 8617 §4.2.1).
const MaxSets = 50

// kind is one of the three fields of an ARC Set (RFC 8617 §4.1).
type kind int

const (
	aar  kind = iota // ARC-Authentication-Results
	ams              // ARC-Message-Signature
	seal             // ARC-Seal
)

var names = [...]string{aar: "ARC-Authentication-Results", ams: "ARC-Message-Signature", seal: "ARC-Seal"}

func kindOf(f message.Field) (kind, bool) {
	if c := f.Raw[0]; c != 'a' && c != 'A' {
		return 0, false
	}
	for k, name := range names {
		if f.Is(name) {
			return kind(k), true
		}
	}
	return 0, false
}

// set is the three fields of one instance: their positions in the header section, -1
// while missing.
type set struct {
	index     [3]int
	signature *signature // of the ARC-Message-Signature
	seal      *signature
	results   []byte // of the ARC-Authentication-Results, behind its instance
	body      int    // index of the body hash
	digest    [32]byte
}

// signature is what an ARC-Message-Signature or an ARC-Seal says (RFC 8617 §4.1.2,
// §4.1.3).
type signature struct {
	instance   int
	algorithm  string
	b          []byte
	bodyHash   []byte
	header     bodyhash.Canonicalization
	body       bodyhash.Canonicalization
	d          domain.Name
	selector   domain.Name
	names      []string // h=, lower case
	length     int64
	expiration int64
	chain      string // cv=
	hasHeader  bool   // an h= is there
}

// parseInstance reads i=, which comes first in an ARC-Authentication-Results (RFC 8617
// §4.1.1), and returns what follows.
func parseInstance(value []byte) (n int, rest []byte, ok bool) {
	first, after, found := strings.Cut(string(value), ";")
	name, number, hasValue := strings.Cut(first, "=")
	if !found || !hasValue || strings.Trim(name, " \t\r\n") != "i" {
		return 0, nil, false
	}
	n, ok = instance(strings.Trim(number, " \t\r\n"))
	return n, []byte(after), ok
}

func instance(s string) (int, bool) {
	n, err := strconv.Atoi(s)
	return n, err == nil && n >= 1 && len(s) <= 4 && s[0] >= '1' && s[0] <= '9'
}

// parseSignature reads the tags of an ARC-Message-Signature or ARC-Seal. The reason is ""
// when all is well; the instance is returned as soon as it is known.
func parseSignature(value string, k kind) (s *signature, reason Reason) {
	s = &signature{length: bodyhash.NoLimit, expiration: -1}
	tags, err := tagvalue.Parse(value)
	if err != nil {
		return s, Malformed
	}
	i, _ := tagvalue.Get(tags, "i")
	var ok bool
	if s.instance, ok = instance(i.Value); !ok {
		s.instance = 0
		return s, InvalidInstance
	}
	for _, t := range tags {
		if !s.set(t) {
			return s, Malformed
		}
	}
	return s, s.complete(tags, k)
}

func (s *signature) set(t tagvalue.Tag) (ok bool) {
	var err error
	switch t.Name {
	case "a":
		s.algorithm = t.Value
	case "b":
		s.b, ok = decode(t.Value)
		return ok
	case "bh":
		s.bodyHash, ok = decode(t.Value)
		return ok
	case "c":
		return s.canonical(t.Value)
	case "d":
		s.d, err = domain.Parse(t.Value)
	case "s":
		s.selector, err = domain.Parse(t.Value)
	case "h":
		s.hasHeader = true
		for n := range strings.SplitSeq(t.Value, ":") {
			s.names = append(s.names, strings.ToLower(strings.Trim(n, " \t\r\n")))
		}
	case "l":
		s.length, ok = number(t.Value, 76)
		return ok
	case "x":
		s.expiration, ok = number(t.Value, 12)
		return ok
	case "t":
		_, ok = number(t.Value, 12)
		return ok
	case "cv":
		s.chain = strings.ToLower(t.Value)
	}
	return err == nil
}

func (s *signature) canonical(value string) bool {
	header, body, _ := strings.Cut(value, "/")
	words := map[string]bodyhash.Canonicalization{"simple": bodyhash.Simple, "relaxed": bodyhash.Relaxed, "": bodyhash.Simple}
	var ok, bodyOK bool
	s.header, ok = words[header]
	s.body, bodyOK = words[body]
	return ok && bodyOK
}

// complete checks what the field must have (RFC 8617 §4.1.2, §4.1.3).
func (s *signature) complete(tags []tagvalue.Tag, k kind) Reason {
	required := []string{"a", "b", "d", "s", "cv"}
	if k == ams {
		required = []string{"a", "b", "bh", "d", "s", "h"}
	}
	for _, name := range required {
		if t, ok := tagvalue.Get(tags, name); !ok || t.Value == "" {
			return Malformed
		}
	}
	switch {
	case k == seal && s.hasHeader:
		return SealCoversHeader
	case s.algorithm != "rsa-sha256" && s.algorithm != "ed25519-sha256":
		return AlgorithmUnknown
	case k == ams:
		return s.coverage()
	}
	return ""
}

func (s *signature) coverage() Reason {
	from := false
	for _, n := range s.names {
		if strings.HasPrefix(n, "arc-") {
			return ForbiddenField
		}
		from = from || n == "from"
	}
	switch {
	case len(s.names) > maxNames, len(s.bodyHash) != 32:
		return Malformed
	case !from:
		return FromNotSigned
	}
	return ""
}

// maxNames bounds h=.
const maxNames = 1000

func decode(value string) ([]byte, bool) {
	data, err := base64.StdEncoding.DecodeString(tagvalue.StripFWS(value))
	return data, err == nil
}

// number reads up to most digits; what exceeds an int64 is its maximum.
func number(s string, most int) (int64, bool) {
	if s == "" || len(s) > most || strings.Trim(s, "0123456789") != "" {
		return -1, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return math.MaxInt64, true
	}
	return n, true
}
