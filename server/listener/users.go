package listener

import (
	"bytes"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"os"
	"strings"

	"golang.org/x/crypto/argon2"
)

// Role says what a person may do in the console.
type Role string

// The roles. A reader sees and exports; an admin also changes things.
const (
	ReaderRole Role = "reader"
	AdminRole  Role = "admin"
)

// User is a person in the file of [web] users.
type User struct {
	Name string
	Role Role
	hash string
}

// maxUsers bounds the file of users.
const maxUsers = 1000

// ReadUsers reads a file with a line "NAME ROLE HASH" for each user; "" means no file and no users.
// Blank lines and lines that start with # are skipped.
func ReadUsers(path string) ([]User, error) {
	if path == "" {
		return nil, nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("[web] users: %w", err)
	}
	var users []User
	seen := map[string]bool{}
	for i, line := range bytes.Split(data, []byte("\n")) {
		words := strings.Fields(string(line))
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		u, err := parseUser(words)
		switch {
		case err != nil:
		case seen[u.Name]:
			err = fmt.Errorf("duplicate user %.40q", u.Name)
		case len(users) >= maxUsers:
			err = fmt.Errorf("more than %d users", maxUsers)
		}
		if err != nil {
			return nil, fmt.Errorf("[web] users: %s:%d: %w", path, i+1, err)
		}
		seen[u.Name] = true
		users = append(users, u)
	}
	return users, nil
}

func parseUser(words []string) (User, error) {
	if len(words) != 3 {
		return User{}, fmt.Errorf("write NAME ROLE HASH: postseal ui user prints such a line")
	}
	u := User{words[0], Role(words[1]), words[2]}
	if u.Role != ReaderRole && u.Role != AdminRole {
		return User{}, fmt.Errorf("role %.40q is not reader or admin", words[1])
	}
	if _, err := parsePassword(u.hash); err != nil {
		return User{}, err
	}
	return u, nil
}

// The cost of a password: 19 MiB and two passes of argon2id (RFC 9106). A file may ask for
// more, up to 64 MiB and 10 passes.
const (
	passwordKiB    = 19 << 10
	passwordPasses = 2
	maxPasswordKiB = 64 << 10
	maxPasses      = 10
	saltLen        = 16
	hashLen        = 32
)

// password is a hash in its parts.
type password struct {
	kib, passes uint32
	lanes       uint8
	salt, sum   []byte
}

// parsePassword reads "$argon2id$v=19$m=19456,t=2,p=1$SALT$HASH".
func parsePassword(s string) (p password, err error) {
	parts := strings.Split(s, "$")
	wrong := fmt.Errorf("the hash is not of the form $argon2id$v=19$m=19456,t=2,p=1$SALT$HASH: postseal ui user prints one")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return p, wrong
	}
	if n, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &p.kib, &p.passes, &p.lanes); n != 3 || err != nil {
		return p, wrong
	}
	var salted, summed error
	p.salt, salted = base64.RawStdEncoding.DecodeString(parts[4])
	p.sum, summed = base64.RawStdEncoding.DecodeString(parts[5])
	if salted != nil || summed != nil || len(p.salt) < 8 || len(p.sum) != hashLen {
		return p, wrong
	}
	if p.kib < 8 || p.kib > maxPasswordKiB || p.passes < 1 || p.passes > maxPasses || p.lanes < 1 || p.lanes > 8 {
		return p, fmt.Errorf("the hash costs more than m=%d, t=%d, or less than m=8, t=1", maxPasswordKiB, maxPasses)
	}
	return p, nil
}

// Is reports whether text is the password of the user. It takes some 20 ms of a core.
func (u User) Is(text string) bool {
	p, err := parsePassword(u.hash)
	if err != nil {
		return false
	}
	sum := argon2.IDKey([]byte(text), p.salt, p.passes, p.kib, p.lanes, hashLen)
	return subtle.ConstantTimeCompare(sum, p.sum) == 1
}

// UserLine returns the line of a user for the file.
func UserLine(name string, role Role, text string) (string, error) {
	if name == "" || strings.HasPrefix(name, "#") || strings.ContainsAny(name, " \t\r\n\x00") {
		return "", fmt.Errorf("%.40q is not a name: use letters, digits and -._@", name)
	}
	const least = 8
	if len(text) < least {
		return "", fmt.Errorf("the password has fewer than %d characters", least)
	}
	salt := make([]byte, saltLen)
	rand.Read(salt) //nolint:errcheck // it never fails
	sum := argon2.IDKey([]byte(text), salt, passwordPasses, passwordKiB, 1, hashLen)
	enc := base64.RawStdEncoding.EncodeToString
	line := fmt.Sprintf("%s %s $argon2id$v=%d$m=%d,t=%d,p=1$%s$%s", name, role, argon2.Version, passwordKiB, passwordPasses, enc(salt), enc(sum))
	_, err := parseUser(strings.Fields(line))
	return line, err
}
