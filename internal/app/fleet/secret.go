package fleet

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"time"

	"github.com/jackc/pgx/v5"
)

// The life of a secret: a new one follows after rotateAfter, is used once every daemon had the
// time to read it, and the one before is accepted for keepFor more, the longest history of
// which links tell.
const (
	rotateAfter = 90 * 24 * time.Hour
	spreadFor   = time.Minute
	keepFor     = 400 * 24 * time.Hour
)

// Ring is a secret with those before it.
type Ring struct {
	Current []byte
	Others  [][]byte // are accepted: those before it, and the next one
}

// Has reports whether a ring accepts a secret.
func (r *Ring) Has(value []byte) bool {
	for _, s := range append(r.Others, r.Current) {
		if bytes.Equal(s, value) {
			return true
		}
	}
	return false
}

// Secret returns the shared secret of a name. own is that of this host from before it shared,
// nil for none: the others then accept it too, and the first one becomes that of all. A secret
// that is due is replaced.
func (d *DB) Secret(ctx context.Context, name string, own []byte) (r Ring, err error) {
	err = d.in(ctx, secretLock, func(ctx context.Context, tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "DELETE FROM postseal.secret WHERE name = $1 AND until_at > 0 AND until_at < "+now, name); err != nil {
			return err
		}
		var any, fresh bool
		err := tx.QueryRow(ctx, "SELECT count(*) > 0, coalesce(bool_or(until_at = 0 AND from_at > "+now+" - $2::bigint), false) FROM postseal.secret WHERE name = $1", name, rotateAfter.Milliseconds()).Scan(&any, &fresh)
		if err != nil {
			return err
		}
		if err := offer(ctx, tx, name, own, any); err != nil {
			return err
		}
		if any && !fresh || !any && own == nil {
			if err := rotate(ctx, tx, name, any); err != nil {
				return err
			}
		}
		r, err = ring(ctx, tx, name)
		return err
	})
	return r, err
}

// offer adds the secret of a host: as the first of all, or as one that ends.
func offer(ctx context.Context, tx pgx.Tx, name string, own []byte, any bool) error {
	if own == nil {
		return nil
	}
	id, until := sha256.Sum256(own), "0"
	if any {
		until = now + " + $4::bigint"
	} else {
		until = "0 * $4::bigint"
	}
	_, err := tx.Exec(ctx, "INSERT INTO postseal.secret (name, id, value, from_at, until_at) VALUES ($1, $2, $3, "+now+", "+until+") ON CONFLICT DO NOTHING",
		name, id[:], own, keepFor.Milliseconds())
	return err
}

// rotate makes a secret, which is used later if there is one before it.
func rotate(ctx context.Context, tx pgx.Tx, name string, later bool) error {
	value, spread := make([]byte, sha256.Size), spreadFor
	rand.Read(value) //nolint:errcheck // it never fails
	if !later {
		spread = 0
	}
	if _, err := tx.Exec(ctx, "UPDATE postseal.secret SET until_at = "+now+" + $2::bigint WHERE name = $1 AND until_at = 0", name, keepFor.Milliseconds()); err != nil {
		return err
	}
	id := sha256.Sum256(value)
	_, err := tx.Exec(ctx, "INSERT INTO postseal.secret (name, id, value, from_at) VALUES ($1, $2, $3, "+now+" + $4::bigint)", name, id[:], value, spread.Milliseconds())
	return err
}

// maxRing bounds the secrets that are accepted: each makes it easier to guess a tag.
const maxRing = 16

// ring reads a secret with those before it. The newest whose time has come is current; that of a
// host that joined is not, because it ends.
func ring(ctx context.Context, tx pgx.Tx, name string) (r Ring, err error) {
	rows, err := tx.Query(ctx, "SELECT value, from_at <= "+now+" FROM postseal.secret WHERE name = $1 ORDER BY until_at = 0 DESC, until_at DESC, from_at DESC LIMIT $2", name, maxRing)
	if err != nil {
		return r, err
	}
	var value []byte
	var begun bool
	_, err = pgx.ForEachRow(rows, []any{&value, &begun}, func() error {
		if begun && r.Current == nil {
			r.Current = bytes.Clone(value)
		} else {
			r.Others = append(r.Others, bytes.Clone(value))
		}
		return nil
	})
	return r, err
}
