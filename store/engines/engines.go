// Package engines opens a database by its URL.
package engines

import (
	"context"
	"fmt"
	"strings"

	"postseal/store"
	"postseal/store/postgres"
	"postseal/store/sqlite"
)

// Options bound a database.
type Options struct {
	MaxBytes int64 // of an SQLite file
	ReadOnly bool  // nothing is created or migrated
}

// Open opens the database of a URL: sqlite:PATH or postgres://….
func Open(ctx context.Context, address string, o Options) (store.Store, error) {
	if path, ok := strings.CutPrefix(address, store.SQLitePrefix); ok {
		return sqlite.Open(ctx, path, sqlite.Options{MaxBytes: o.MaxBytes, ReadOnly: o.ReadOnly})
	}
	if strings.HasPrefix(address, "postgres://") || strings.HasPrefix(address, "postgresql://") {
		return postgres.Open(ctx, address, postgres.Options{ReadOnly: o.ReadOnly})
	}
	return nil, fmt.Errorf("%s: not sqlite:PATH or postgres://…", store.RedactURL(address))
}
