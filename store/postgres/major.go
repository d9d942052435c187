package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"postseal/store"
)

// Major is the version of the schema. A database of a later one is not used, one of an earlier one is migrated.
const Major = "1"

const askMajor = "SELECT value FROM postseal.meta WHERE key = 'major'"

func wantMajor(major string) error {
	if major != Major {
		return fmt.Errorf("%w: it has version %s, this postseal knows %s", store.ErrSchema, major, Major)
	}
	return nil
}

// migratable reports whether the migrations of this version bring a schema forward.
func migratable(major string) error {
	there, err := strconv.Atoi(major)
	if ours, _ := strconv.Atoi(Major); err == nil && there < ours { //nolint:errcheck // a constant
		return nil
	}
	return wantMajor(major)
}

// querier is a pool or a transaction.
type querier interface {
	QueryRow(ctx context.Context, statement string, args ...any) pgx.Row
}

func checkMajor(ctx context.Context, q querier) error {
	var major string
	if err := q.QueryRow(ctx, askMajor).Scan(&major); err != nil {
		return err
	}
	return wantMajor(major)
}

// guardEvery is how long a connection is used without a look at the version.
const guardEvery = time.Second

// guard keeps a process that runs from a schema of another major version: another host that is upgraded migrates it.
type guard struct {
	mu     sync.Mutex
	looked time.Time // and found ours
}

// prepare is called with each connection that the pool is asked for.
func (g *guard) prepare(ctx context.Context, c *pgx.Conn) (usable bool, err error) {
	g.mu.Lock()
	fresh := !g.looked.IsZero() && time.Since(g.looked) < guardEvery
	g.mu.Unlock()
	if fresh {
		return true, nil
	}
	began := time.Now()
	err = checkMajor(ctx, c)
	var answer *pgconn.PgError
	switch {
	case errors.Is(err, store.ErrSchema):
		return true, err
	case errors.As(err, &answer): // as before the first migration: what is asked fails by itself
		return true, nil
	case err != nil: // the next connection may be better
		return false, nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.looked = began
	return true, nil
}

// atMajor makes the schema where it is missing, and refuses one that this version cannot migrate.
func atMajor(ctx context.Context, db *sql.DB) error {
	var there bool
	if err := db.QueryRowContext(ctx, "SELECT to_regclass('"+schema+".meta') IS NOT NULL").Scan(&there); err != nil {
		return err
	}
	if there {
		var major string
		if err := db.QueryRowContext(ctx, askMajor).Scan(&major); err != nil {
			return err
		}
		return migratable(major)
	}
	// A role that may not make schemas can use one that was made for it.
	if err := db.QueryRowContext(ctx, "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = '"+schema+"')").Scan(&there); err != nil || there {
		return err
	}
	_, err := db.ExecContext(ctx, "CREATE SCHEMA IF NOT EXISTS "+schema)
	var duplicate *pgconn.PgError
	if errors.As(err, &duplicate) && duplicate.Code == uniqueViolation { // another process was faster
		return nil
	}
	return err
}
