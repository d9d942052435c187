package fleet

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
)

// Watched returns the entries of the watch list of all hosts, by domain.
func (d *DB) Watched(ctx context.Context) (map[string]string, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	rows, err := d.pool.Query(ctx, "SELECT domain, entry FROM postseal.watched")
	if err != nil {
		return nil, err
	}
	all := map[string]string{}
	var domain, entry string
	_, err = pgx.ForEachRow(rows, []any{&domain, &entry}, func() error { all[domain] = entry; return nil })
	return all, err
}

// PutWatched writes the entry of a domain, if it is still what it was before: "" adds one. It reports false if another
// host changed it meanwhile.
func (d *DB) PutWatched(ctx context.Context, domain, before, entry string) (bool, error) {
	if before == "" {
		n, err := d.exec(ctx, "INSERT INTO postseal.watched (domain, entry) VALUES ($1, $2) ON CONFLICT DO NOTHING", domain, entry)
		return n == 1, err
	}
	n, err := d.exec(ctx, "UPDATE postseal.watched SET entry = $3 WHERE domain = $1 AND entry = $2", domain, before, entry)
	return n == 1, err
}

// KeepWatched writes an entry as PutWatched does, with its report and history.
func (d *DB) KeepWatched(ctx context.Context, domain, before, entry, kept string) (bool, error) {
	n, err := d.exec(ctx, "UPDATE postseal.watched SET entry = $3, kept = $4 WHERE domain = $1 AND entry = $2", domain, before, entry, kept)
	return n == 1, err
}

// KeptOfWatched returns the report and history of a domain, "" if there is none.
func (d *DB) KeptOfWatched(ctx context.Context, domain string) (kept string, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	err = d.pool.QueryRow(ctx, "SELECT kept FROM postseal.watched WHERE domain = $1", domain).Scan(&kept)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", nil
	}
	return kept, err
}

// RemoveWatched takes a domain off the list, with its history.
func (d *DB) RemoveWatched(ctx context.Context, domain string) error {
	_, err := d.exec(ctx, "DELETE FROM postseal.watched WHERE domain = $1", domain)
	return err
}
