package conf

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"postseal/store"
	"postseal/store/journal"
)

// StoreURL names a database: sqlite:PATH or postgres://…. "" means none.
type StoreURL string

// UnmarshalText implements encoding.TextUnmarshaler.
func (u *StoreURL) UnmarshalText(text []byte) error {
	*u = StoreURL(text)
	if *u == "none" || *u == "" {
		*u = ""
		return nil
	}
	return store.CheckURL(string(text))
}

// leastHistory is the minimum for reports: the previous day and the current one.
const leastHistory = 48 * time.Hour

// StoreIn returns the database in a state directory.
func StoreIn(state string) StoreURL {
	return StoreURL(store.SQLitePrefix + filepath.Join(state, "store.db"))
}

// JournalIn returns the journal directory in a state directory.
func JournalIn(state string) string { return filepath.Join(state, "journal") }

func defaultStore() Store {
	s := Store{Journal: journal.DefaultMaxBytes, History: Duration(30 * 24 * time.Hour), MaxSize: 4 << 30, IP: "full"}
	if state := StateDir(); state != "" {
		s.URL, s.JournalDir = StoreIn(state), JournalIn(state)
	}
	return s
}

// IsDefault reports whether the database is the default one.
func (s *Store) IsDefault() bool {
	return s.URLFile == "" && s.URL != "" && s.URL == defaultStore().URL
}

// Address returns the URL of the database, from URLFile if it is set. "" means none.
func (s *Store) Address() (string, error) {
	if s.URLFile == "" {
		return string(s.URL), nil
	}
	text, err := os.ReadFile(s.URLFile)
	if err != nil {
		return "", fmt.Errorf("[store] url_file: %w", err)
	}
	address := strings.TrimSpace(string(text))
	if err := store.CheckURL(address); err != nil {
		return "", fmt.Errorf("[store] url_file: %s holds no URL: %w", s.URLFile, err)
	}
	return address, nil
}

// MessageIDKey returns the key of MessageIDKeyFile, nil if it is not set.
func (s *Store) MessageIDKey() (store.MessageIDKey, error) {
	if s.MessageIDKeyFile == "" {
		return nil, nil
	}
	text, err := os.ReadFile(s.MessageIDKeyFile)
	if err != nil {
		return nil, fmt.Errorf("[store] message_id_key_file: %w", err)
	}
	key := bytes.TrimSpace(text)
	if len(key) < store.LeastMessageIDKey {
		return nil, fmt.Errorf("[store] message_id_key_file: %s holds less than %d characters: write a key with openssl rand -hex 32", s.MessageIDKeyFile, store.LeastMessageIDKey)
	}
	return key, nil
}

// checkStore finds contradictions between the values of [store].
func (d *decoder) checkStore(c *Config) {
	s := &c.Store
	if time.Duration(s.History) < leastHistory {
		d.problem("store.history", "%q is less than 48h: reports need the day before", time.Duration(s.History))
	}
	if s.Journal < 2*journal.DefaultSegmentBytes {
		d.problem("store.journal", "is less than 16MiB, two segments of the journal")
	}
	if s.URL != "" && s.JournalDir == "" {
		d.problem("store.journal_dir", "is missing: verdicts wait there for the database")
	}
	if _, named := d.places["store.url"]; named && s.URLFile != "" {
		d.problem("store.url_file", "cannot be used together with url")
	}
	if c.Fleet.Config == "shared" && s.URLFile == "" && !strings.HasPrefix(string(s.URL), "postgres") {
		d.problem("fleet.config", "hosts share a configuration through PostgreSQL: set url or url_file in [store]")
	}
	if redacted := store.RedactURL(string(s.URL)); redacted != string(s.URL) {
		d.warn("store.url", "holds a password: put it into a file and name that with url_file")
	}
}
