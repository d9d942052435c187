package listener

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"os"
	"strings"
)

// Token is the secret of [listen] http_token_file. The zero value is none.
type Token struct {
	sum [sha256.Size]byte
	set bool
}

// minTokenLen is the least length of a token that cannot be guessed.
const minTokenLen = 16

// ReadToken reads the token in a file, without the white space around it; "" is no file and
// no token.
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
		return "", fmt.Errorf("[listen] http_token_file: %s has %d characters, and a token has %d or more: openssl rand -hex 32", path, len(token), minTokenLen)
	}
	return token, nil
}

func newToken(path string) (Token, error) {
	text, err := ReadToken(path)
	return Token{sha256.Sum256([]byte(text)), text != ""}, err
}

// Set reports whether there is a token.
func (t Token) Set() bool { return t.set }

// Is compares in constant time.
func (t Token) Is(text string) bool {
	sum := sha256.Sum256([]byte(text))
	return t.set && subtle.ConstantTimeCompare(sum[:], t.sum[:]) == 1
}
