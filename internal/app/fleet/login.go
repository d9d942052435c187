package fleet

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
)

// Login is a browser that is logged in.
type Login struct {
	ID    []byte // a hash of what the browser holds
	Name  string
	Role  string
	Proof []byte // a hash of the credentials: the login ends when they change
	// Member says that the credentials are the token of a daemon of the fleet.
	Member bool
}

// Lifetimes bound logins and codes.
type Lifetimes struct {
	Idle, Limit, Code time.Duration
	Most              int // logins, and codes
}

// The kinds of rows.
const (
	kindLogin = "login"
	kindCode  = "code"
)

// ErrBusy reports that the console asks more than the database may be asked for it.
var ErrBusy = errors.New("too many requests of the console wait for the database")

// console runs a statement for a request of the console. Requests without a valid login come here
// too, so they share few connections and wait only so long.
func (d *DB) console(ctx context.Context, f func(context.Context, pgx.Tx) error) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	select {
	case d.logins <- struct{}{}:
	case <-ctx.Done():
		return ErrBusy
	}
	defer func() { <-d.logins }()
	return pgx.BeginFunc(ctx, d.pool, func(tx pgx.Tx) error { return f(ctx, tx) })
}

// BeginLogin adds a login, and removes those that ended.
func (d *DB) BeginLogin(ctx context.Context, x *Login, l Lifetimes) error {
	return d.add(ctx, kindLogin, x, l)
}

// AddCode adds a code that logs in once.
func (d *DB) AddCode(ctx context.Context, id []byte, l Lifetimes) error {
	return d.add(ctx, kindCode, &Login{ID: id, Proof: []byte{}}, l)
}

func (d *DB) add(ctx context.Context, kind string, x *Login, l Lifetimes) error {
	return d.console(ctx, func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `DELETE FROM postseal.login WHERE kind = 'login' AND (seen_at < `+now+` - $1::bigint OR began_at < `+now+` - $2::bigint) OR kind = 'code' AND began_at < `+now+` - $3::bigint`,
			l.Idle.Milliseconds(), l.Limit.Milliseconds(), l.Code.Milliseconds())
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `DELETE FROM postseal.login WHERE id IN (SELECT id FROM postseal.login WHERE kind = $1 ORDER BY seen_at DESC OFFSET $2)`, kind, l.Most-1)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `INSERT INTO postseal.login (id, kind, name, role, proof, began_at, seen_at) VALUES ($1, $2, $3, $4, $5, `+now+`, `+now+`)`, x.ID, kind, x.Name, x.Role, x.Proof)
		return err
	})
}

// FindLogin returns a login, and keeps it alive. ok is false if there is none, or it ended.
func (d *DB) FindLogin(ctx context.Context, id []byte, l Lifetimes) (x Login, ok bool, err error) {
	err = d.console(ctx, func(ctx context.Context, tx pgx.Tx) error {
		var stale bool
		err := tx.QueryRow(ctx, `SELECT name, role, proof, seen_at < `+now+` - 60000, EXISTS (SELECT FROM postseal.member m WHERE m.login = t.proof AND length(m.login) > 0) FROM postseal.login t
			WHERE id = $1 AND kind = 'login' AND seen_at >= `+now+` - $2::bigint AND began_at >= `+now+` - $3::bigint`, id, l.Idle.Milliseconds(), l.Limit.Milliseconds()).
			Scan(&x.Name, &x.Role, &x.Proof, &stale, &x.Member)
		switch {
		case errors.Is(err, pgx.ErrNoRows):
			return nil
		case err != nil:
			return err
		}
		x.ID, ok = id, true
		if stale {
			_, err = tx.Exec(ctx, "UPDATE postseal.login SET seen_at = "+now+" WHERE id = $1", id)
		}
		return err
	})
	return x, ok, err
}

// EndLogin removes a login.
func (d *DB) EndLogin(ctx context.Context, id []byte) error {
	return d.console(ctx, func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "DELETE FROM postseal.login WHERE id = $1", id)
		return err
	})
}

// TakeCode uses up a code. It reports whether the code was valid: of several that use it at once,
// one gets true.
func (d *DB) TakeCode(ctx context.Context, id []byte, l Lifetimes) (ok bool, err error) {
	err = d.console(ctx, func(ctx context.Context, tx pgx.Tx) error {
		var began bool
		err := tx.QueryRow(ctx, "DELETE FROM postseal.login WHERE id = $1 AND kind = 'code' RETURNING began_at >= "+now+" - $2::bigint", id, l.Code.Milliseconds()).Scan(&began)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		ok = began
		return err
	})
	return ok, err
}
