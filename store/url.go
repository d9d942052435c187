package store

import (
	"errors"
	"net/url"
	"strings"
)

// SQLitePrefix begins the URL of an SQLite file; its path follows.
const SQLitePrefix = "sqlite:"

// CheckURL reports what is wrong with a URL. The error does not contain a password.
func CheckURL(address string) error {
	if path, ok := strings.CutPrefix(address, SQLitePrefix); ok {
		if path == "" {
			return errors.New("the path is missing: use sqlite:/var/lib/postseal/store.db")
		}
		return nil
	}
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" {
		return errors.New("not sqlite:PATH, postgres://… or none")
	}
	return nil
}

// RedactURL returns a URL without its password, for a log or an error.
func RedactURL(address string) string {
	if strings.HasPrefix(address, SQLitePrefix) {
		return address
	}
	u, err := url.Parse(address)
	if err != nil {
		return "(store URL)"
	}
	q := u.Query()
	if q.Has("password") {
		q.Set("password", "xxxxx")
		u.RawQuery = q.Encode()
	}
	return u.Redacted()
}
