package reference

import (
	"cmp"
	"crypto"
	"fmt"
	"strings"
)

// Set is one ARC Set to add (RFC 8617 §5.1). Zero members take what a sealer does.
type Set struct {
	Domain, Selector string
	Key              crypto.Signer
	Results          string                    // authres-payload of the ARC-Authentication-Results
	Time             int64                     // t=, by default 12345, long ago
	Chain            string                    // cv=, by default none for the first and pass for the others
	Message          func(Signature) Signature // changes the ARC-Message-Signature before it is made
	Seal             func(field string) string // changes the ARC-Seal before it is made, SignedAs in it
	Assessment       func(field string) string // changes the ARC-Authentication-Results
}

// SealAll adds sets to a message with CRLF line endings, the first one first.
func SealAll(message string, sets ...Set) string {
	for _, s := range sets {
		message = s.seal(message)
	}
	return message
}

func (s Set) seal(message string) string {
	fields, body := Split(message)
	sets := chain(fields)
	i := len(sets) + 1
	results := fmt.Sprintf("ARC-Authentication-Results: i=%d; %s", i, s.Results)
	if s.Assessment != nil {
		results = s.Assessment(results)
	}
	signature := s.signature(i).make(append([]string{results}, fields...), body)
	seal := s.sealField(i)
	signed := s.own(sets, [3]string{results, signature, seal})
	seal = strings.Replace(seal, SignedAs, sign(s.Key, signed), 1)
	return seal + "\r\n" + signature + "\r\n" + results + "\r\n" + message
}

func (s Set) signature(i int) Signature {
	g := Signature{Field: fmt.Sprintf("ARC-Message-Signature: i=%d; a=%s-sha256; c=relaxed/relaxed; d=%s; s=%s;\r\n\th=From:To:Subject:Date; bh={bh};\r\n\tb={b}",
		i, keyType(s.Key), s.Domain, s.Selector),
		Header: "relaxed", Body: "relaxed", Names: []string{"From", "To", "Subject", "Date"}, Length: noBodyEnd, Key: s.Key}
	if s.Message != nil {
		return s.Message(g)
	}
	return g
}

func (s Set) sealField(i int) string {
	status := s.Chain
	if status == "" && i == 1 {
		status = "none"
	} else if status == "" {
		status = "pass"
	}
	field := fmt.Sprintf("ARC-Seal: i=%d; a=%s-sha256; cv=%s; d=%s; s=%s; t=%d;\r\n\tb={b}", i, keyType(s.Key), status, s.Domain, s.Selector, cmp.Or(s.Time, 12345))
	if s.Seal != nil {
		return s.Seal(field)
	}
	return field
}

// own is what an ARC-Seal signs: the sets in rising order, in each the results, the
// signature and the seal, its own without b= and a last CRLF (RFC 8617 §5.1.1).
func (s Set) own(sets [][3]string, set [3]string) string {
	var text strings.Builder
	for _, old := range sets {
		for _, f := range old {
			text.WriteString(Header("relaxed", f))
		}
	}
	for _, f := range set[:2] {
		text.WriteString(Header("relaxed", f))
	}
	text.WriteString(strings.TrimSuffix(Header("relaxed", strings.Replace(set[2], SignedAs, "", 1)), "\r\n"))
	return text.String()
}

// chain finds the sets that this package has made: instance i is the i-th from below.
func chain(fields []string) [][3]string {
	var sets [][3]string
	for _, name := range []string{"arc-authentication-results", "arc-message-signature", "arc-seal"} {
		n := 0
		for i := len(fields) - 1; i >= 0; i-- {
			own, _, _ := strings.Cut(fields[i], ":")
			if asciiLower(strings.TrimRight(own, " \t")) != name {
				continue
			}
			if n == len(sets) {
				sets = append(sets, [3]string{})
			}
			sets[n][map[string]int{"arc-authentication-results": 0, "arc-message-signature": 1, "arc-seal": 2}[name]] = fields[i]
			n++
		}
	}
	return sets
}
