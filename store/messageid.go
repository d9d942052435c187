package store

import (
	"crypto/hmac"
	"crypto/sha256"
	"strings"
)

// MessageIDKey is the key with which Message-IDs are hashed before they are stored. Without one, none are.
type MessageIDKey []byte

// LeastMessageIDKey is the least length of a key, in octets.
const LeastMessageIDKey = 16

// maxMessageID bounds what is hashed, in octets: the longest line of a message (RFC 5322 §2.1.1).
const maxMessageID = 998

// Hash returns the hash of a Message-ID field's value. It is the zero Hash without a key, or without
// an identifier in the value.
func (k MessageIDKey) Hash(value string) (h Hash) {
	id := messageID(value)
	if len(k) == 0 || id == "" {
		return h
	}
	m := hmac.New(sha256.New, k)
	m.Write([]byte(id))
	copy(h[:], m.Sum(nil))
	return h
}

// messageID returns what stands between angle brackets, or else the whole value, without white
// space (RFC 5322 §3.6.4). Many programs show identifiers without the brackets.
func messageID(value string) string {
	if _, id, ok := strings.Cut(value, "<"); ok {
		value, _, _ = strings.Cut(id, ">")
	}
	value = strings.Join(strings.Fields(value), "")
	return value[:min(len(value), maxMessageID)]
}

// hashID returns the search for a Message-ID, whose hash is the value of the term.
func (k MessageIDKey) hashID(value string) (string, *QueryError) {
	if len(k) == 0 {
		return "", &QueryError{Text: "messages cannot be found by Message-ID, because no hash of it is stored", Hint: "set [store] message_id_key_file; it is stored from then on"}
	}
	h := k.Hash(value)
	if h.IsZero() {
		return "", &QueryError{Text: "messageid: has no Message-ID", Hint: "write it like messageid:<1@acme.test>"}
	}
	return h.text(), nil
}
