package listener

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestUsersFile: what is wrong with a file of users is said with its line.
func TestUsersFile(t *testing.T) {
	good, err := UserLine("ann", ReaderRole, "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ text, want string }{
		{good, ""}, {"\n# x\n  " + good + "\r\n", ""}, {"ann reader", "users:1: write NAME ROLE HASH"}, {"\nann root " + strings.Fields(good)[2], `users:2: role "root"`},
		{"ann reader x", "users:1: the hash is not of the form"}, {good + "\n" + good, `users:2: duplicate user "ann"`},
		{strings.Replace(good, "m=19456", "m=4000000", 1), "costs more"}, {strings.Replace(good, "t=2", "t=999", 1), "costs more"}, {strings.Replace(good, "p=1", "p=0", 1), "costs more"},
		{strings.Replace(good, "argon2id", "argon2i", 1), "not of the form"}, {good[:len(good)-4], "not of the form"},
	} {
		path := filepath.Join(t.TempDir(), "users")
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		users, err := ReadUsers(path)
		switch {
		case c.want == "" && (err != nil || len(users) != 1 || !users[0].Is("correct horse") || users[0].Is("wrong horse")):
			t.Errorf("%q: %v %v", c.text, users, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%q: %v, want %s", c.text, err, c.want)
		}
	}
	if _, err := ReadUsers(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a file that does not exist")
	}
	for _, c := range []struct{ name, password string }{{"a b", "correct horse"}, {"", "correct horse"}, {"#a", "correct horse"}, {"ann", "short"}} {
		if line, err := UserLine(c.name, AdminRole, c.password); err == nil {
			t.Errorf("%q %q: %s", c.name, c.password, line)
		}
	}
}
