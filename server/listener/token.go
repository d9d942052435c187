package listener

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"postseal/internal/app/conf"
)

// Token is the secret of the http listener. The zero value means that there is none.
type Token struct {
	sum [sha256.Size]byte
	set bool
}

// minTokenLen is the minimum length of a token that cannot be guessed.
const minTokenLen = 16

// ReadToken reads the token in a file, without surrounding white space; "" means no file and no
// token.
func ReadToken(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("[listen] http_token_file: %w", err)
	}
	token := strings.TrimSpace(string(data))
	if len(token) < minTokenLen {
		return "", fmt.Errorf("[listen] http_token_file: %s has %d characters, but a token needs at least %d: openssl rand -hex 32", path, len(token), minTokenLen)
	}
	return token, nil
}

// ConfiguredToken reads the token with which our own commands reach the daemon of c: the
// configured one, or else the one that the daemon created. That is "" before the first start,
// or if the user may not read it.
func ConfiguredToken(c *conf.Config) (string, error) {
	if c.Listen.HTTPTokenFile != "" {
		return ReadToken(c.Listen.HTTPTokenFile)
	}
	token, err := ReadToken(conf.ConsoleToken())
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return "", nil
	}
	return token, err
}

// MakeToken creates the token in the state directory unless it exists. Only its owner may read it.
func MakeToken(path string) error {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil // another process was first
	}
	if err != nil {
		return err
	}
	_, err = f.WriteString(rand.Text() + "\n")
	return errors.Join(err, f.Close())
}

func newToken(text string) Token { return Token{sha256.Sum256([]byte(text)), text != ""} }

// Set reports whether there is a token.
func (t Token) Set() bool { return t.set }

// Is compares in constant time.
func (t Token) Is(text string) bool {
	sum := sha256.Sum256([]byte(text))
	return t.set && subtle.ConstantTimeCompare(sum[:], t.sum[:]) == 1
}

// Proof is a hash of credentials, by which a login is bound to them.
type Proof [sha256.Size]byte

// Proof returns that of the token.
func (t Token) Proof() Proof {
	return sha256.Sum256(append([]byte("postseal console token "), t.sum[:]...))
}

// Proof returns that of the line of a user.
func (u User) Proof() Proof {
	return sha256.Sum256([]byte("postseal console user " + u.Name + "\x00" + string(u.Role) + "\x00" + u.hash))
}
