package refusal

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// The letters of a reference and of a tag: eight and six of Crockford's base 32, which has no
// letters that are mistaken for digits.
const (
	refLen = 8
	tagLen = 6
	keyLen = 32
)

var crockford = base32.NewEncoding("0123456789ABCDEFGHJKMNPQRSTVWXYZ").WithPadding(base32.NoPadding)

// misread are letters that people write for others.
var misread = strings.NewReplacer("-", "", "O", "0", "I", "1", "L", "1")

// Key makes the tags by which a reply links to its page. A reference has 40 bits and is not a
// secret: it is in header fields and logs. The tag adds 30 bits that only the reply has.
type Key struct {
	secret [keyLen]byte
	others []*Key // make no tags, but theirs are accepted
}

// NewKey returns the key of a secret of 32 octets. The tags of others are accepted too: those of
// the secrets before it, or of other hosts. It is nil if the secret has another length.
func NewKey(secret []byte, others ...[]byte) *Key {
	if len(secret) != keyLen {
		return nil
	}
	k := &Key{secret: [keyLen]byte(secret)}
	for _, o := range others {
		if len(o) == keyLen {
			k.others = append(k.others, &Key{secret: [keyLen]byte(o)})
		}
	}
	return k
}

// Secret returns the octets that NewKey takes.
func (k *Key) Secret() []byte { return k.secret[:] }

// Tag returns the tag of a reference: the first 30 bits of its HMAC-SHA-256 (RFC 2104).
func (k *Key) Tag(ref string) string {
	mac := hmac.New(sha256.New, k.secret[:])
	mac.Write([]byte(ref))
	return crockford.EncodeToString(mac.Sum(nil))[:tagLen]
}

// Ref returns the reference of "REF-TAG", in either case, with hyphens anywhere. ok is false if
// the tag is not that of the reference; the comparison takes constant time.
func (k *Key) Ref(text string) (ref string, ok bool) {
	const longest = refLen + tagLen + 8 // with hyphens
	if len(text) > longest {
		text = ""
	}
	text = misread.Replace(strings.ToUpper(text))
	whole := len(text) == refLen+tagLen
	if !whole {
		text = strings.Repeat("0", refLen+tagLen)
	}
	ref = text[:refLen]
	same := subtle.ConstantTimeCompare([]byte(k.Tag(ref)), []byte(text[refLen:]))
	for _, o := range k.others {
		same |= subtle.ConstantTimeCompare([]byte(o.Tag(ref)), []byte(text[refLen:]))
	}
	return ref, whole && same == 1
}

// ReadKey reads the key of a state directory, which it makes if it does not exist. Only its
// owner may read it.
func ReadKey(path string) (*Key, error) {
	k, err := readKey(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return k, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return nil, err
	}
	fresh := make([]byte, keyLen)
	rand.Read(fresh) //nolint:errcheck // it never fails
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return nil, err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(fresh)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	if err := os.Link(f.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) { // another process may be first
		return nil, err
	}
	return readKey(path)
}

func readKey(path string) (*Key, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if len(data) != keyLen {
		return nil, errors.New("the key of the refusal page does not have 32 bytes: remove " + path + " to make a new one")
	}
	return NewKey(data), nil
}
