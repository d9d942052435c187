package arc

import (
	"errors"
	"strings"

	"postseal/dkim"
	"postseal/internal/core/signature"
	"postseal/internal/core/tagvalue"
	"postseal/message"
)

// MaxSets is the most instances of a chain (RFC 8617 §4.2.1).
const MaxSets = 50

// maxNames bounds h=, as for DKIM.
const maxNames = dkim.DefaultSignedFields

// kind is one of the three fields of an ARC Set (RFC 8617 §4.1), in the order in which a
// seal covers them (§5.1.1).
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

// set is the three fields of one instance.
type set struct {
	index     [3]int           // positions in the header section, -1 while missing
	signature *signature.Field // the ARC-Message-Signature, nil while it is missing or malformed
	seal      *signature.Field // the ARC-Seal
	status    string           // its cv=, lower case
	results   []byte           // the authres-payload of the ARC-Authentication-Results
	body      int              // index of the body hash
	digests   [3][32]byte      // what the signature and the seal are made over
}

// parseSignature reads an ARC-Message-Signature or an ARC-Seal, whose tags are those of
// DKIM but for i=, v= and cv= (RFC 8617 §4.1.2, §4.1.3). The reason is "" when all is well;
// the instance is 0 when it cannot be read.
func parseSignature(value string, k kind) (f *signature.Field, n int, status string, reason Reason) {
	tags, err := tagvalue.Parse(value)
	if err != nil {
		return nil, 0, "", Malformed
	}
	i, _ := tagvalue.Get(tags, "i")
	n, ok := tagvalue.Instance(i.Value)
	if !ok {
		return nil, 0, "", InvalidInstance
	}
	if k == seal {
		f, status, reason = parseSeal(tags)
		return f, n, status, reason
	}
	f, reason = parseMessageSignature(tags)
	return f, n, "", reason
}

// parseSeal knows the tags of RFC 8617 §4.1.3 alone. cv= is a word of the ABNF, in any case
// of letters (§3.9).
func parseSeal(tags []tagvalue.Tag) (f *signature.Field, status string, reason Reason) {
	if _, ok := tagvalue.Get(tags, "h"); ok {
		return nil, "", SealCoversHeader
	}
	cv, ok := tagvalue.Get(tags, "cv")
	if !ok {
		return nil, "", Malformed
	}
	f, err := signature.ParseTags(only(tags, "a", "b", "d", "s", "t"), "a", "b", "d", "s")
	return f, cv.Value, reasonOf(err)
}

// parseMessageSignature: an ARC-Message-Signature cannot cover an ARC-Seal, which is made after
// it. RFC 8617 §4.1.2 asks sealers not to cover the other two fields either, so that the
// signature does not break; but covering them does no harm, and §5.2 does not check it.
func parseMessageSignature(tags []tagvalue.Tag) (*signature.Field, Reason) {
	tags = only(tags, "a", "b", "bh", "c", "d", "h", "l", "q", "s", "t", "x")
	for i := range tags {
		if tags[i].Name == "h" {
			tags[i].Value = withoutBlanks(tags[i].Value)
		}
	}
	f, err := signature.ParseTags(tags, "a", "b", "bh", "d", "h", "s")
	if reason := reasonOf(err); reason != "" {
		return f, reason
	}
	for _, name := range f.Names {
		if name == "arc-seal" {
			return f, SealSigned
		}
	}
	if len(f.Names) > maxNames {
		return f, Malformed
	}
	return f, ""
}

// withoutBlanks takes the empty names out of h=: they stand for no field, and sealers are
// known to write them.
func withoutBlanks(list string) string {
	var kept []string
	for name := range strings.SplitSeq(list, ":") {
		if tagvalue.StripFWS(name) != "" {
			kept = append(kept, name)
		}
	}
	return strings.Join(kept, ":")
}

// only returns the tags of these names.
func only(tags []tagvalue.Tag, names ...string) []tagvalue.Tag {
	kept := make([]tagvalue.Tag, 0, len(names))
	for _, t := range tags {
		for _, name := range names {
			if t.Name == name {
				kept = append(kept, t)
			}
		}
	}
	return kept
}

func reasonOf(err error) Reason {
	var syntax *signature.SyntaxError
	if !errors.As(err, &syntax) {
		return ""
	}
	switch syntax.Reason {
	case signature.AlgorithmUnknown, signature.AlgorithmForbidden:
		return AlgorithmUnknown
	case signature.FromNotSigned:
		return FromNotSigned
	}
	return Malformed
}
