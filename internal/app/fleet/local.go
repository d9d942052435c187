package fleet

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"time"

	_ "modernc.org/sqlite" // the driver

	"postseal/internal/app/failpoint"
)

// Local is the Queue of one host, in a file. Without the file, the work is done again.
type Local struct {
	db *sql.DB
}

var _ Queue = (*Local)(nil)

// localSchema is that of the migration fleet of store/postgres, as far as it is about work.
const localSchema = `
CREATE TABLE IF NOT EXISTS work (
  id TEXT PRIMARY KEY, kind TEXT NOT NULL, spec TEXT NOT NULL, items INTEGER NOT NULL, ready INTEGER NOT NULL DEFAULT 0, made_at INTEGER NOT NULL, used_at INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS work_chunk (
  work TEXT NOT NULL REFERENCES work ON DELETE CASCADE, n INTEGER NOT NULL, items TEXT NOT NULL, done INTEGER NOT NULL DEFAULT 0,
  holder TEXT NOT NULL DEFAULT '', lease_until INTEGER NOT NULL DEFAULT 0, attempts INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (work, n)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS work_chunk_due ON work_chunk (lease_until) WHERE NOT done;
CREATE TABLE IF NOT EXISTS work_result (
  work TEXT NOT NULL, chunk INTEGER NOT NULL, n INTEGER NOT NULL, body TEXT NOT NULL, PRIMARY KEY (work, chunk, n),
  FOREIGN KEY (work, chunk) REFERENCES work_chunk ON DELETE CASCADE) WITHOUT ROWID;`

// OpenLocal opens the file, and makes it if it does not exist. Only its owner can read it: it may name
// mail.
func OpenLocal(ctx context.Context, path string) (*Local, error) {
	path, err := filepath.Abs(path) // a URI has no relative paths
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	f.Close()
	q := url.Values{"_txlock": {"immediate"}, "_pragma": {"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(NORMAL)", "foreign_keys(1)"}}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Path: path, RawQuery: q.Encode()}).String())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(ctx, localSchema); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &Local{db}, nil
}

// Close implements Queue.
func (l *Local) Close() { l.db.Close() }

func (l *Local) exec(ctx context.Context, statement string, args ...any) (int64, error) {
	r, err := l.db.ExecContext(ctx, statement, args...)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// millis is the clock of all processes of this host.
func millis() int64 { return time.Now().UnixMilli() }

// FindWork implements Queue.
func (l *Local) FindWork(ctx context.Context, prefix string) (id, spec string, ready bool, err error) {
	err = l.db.QueryRowContext(ctx, "UPDATE work SET used_at = ?1 WHERE id = (SELECT id FROM work WHERE substr(id, 1, length(?2)) = ?2 ORDER BY made_at DESC, id DESC LIMIT 1) RETURNING id, spec, ready",
		millis(), prefix).Scan(&id, &spec, &ready)
	if errors.Is(err, sql.ErrNoRows) {
		return "", "", false, nil
	}
	return id, spec, ready, err
}

// AddWork implements Queue.
func (l *Local) AddWork(ctx context.Context, w Work, chunks func(yield func(items []string) bool)) error {
	if _, err := l.exec(ctx, "DELETE FROM work WHERE used_at < ?1", millis()-keepWork.Milliseconds()); err != nil {
		return err
	}
	if _, err := l.exec(ctx, "INSERT INTO work (id, kind, spec, items, made_at, used_at) VALUES (?1, ?2, ?3, 0, ?4, ?4) ON CONFLICT DO NOTHING", w.ID, w.Kind, w.Spec, millis()); err != nil {
		return err
	}
	n, items := int64(0), int64(0)
	for list := range chunks {
		text, err := json.Marshal(list)
		if err == nil {
			_, err = l.exec(ctx, "INSERT INTO work_chunk (work, n, items) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING", w.ID, n, string(text))
		}
		if err != nil {
			return err
		}
		n, items = n+1, items+int64(len(list))
	}
	_, err := l.exec(ctx, "UPDATE work SET items = ?2, ready = 1 WHERE id = ?1", w.ID, items)
	return err
}

// Take implements Queue.
func (l *Local) Take(ctx context.Context, holder string, kinds, except []string) (c Chunk, ok bool, err error) {
	var items string
	known, _ := json.Marshal(kinds)                           //nolint:errcheck // texts
	without, _ := json.Marshal(append([]string{}, except...)) //nolint:errcheck // texts
	tx, err := l.db.BeginTx(ctx, nil)
	if err != nil {
		return c, false, err
	}
	defer tx.Rollback() //nolint:errcheck // after a commit it does nothing
	err = tx.QueryRowContext(ctx, `SELECT c.work, w.kind, w.spec, c.n, c.items, c.attempts + 1 FROM work_chunk c JOIN work w ON w.id = c.work
		WHERE NOT c.done AND c.lease_until < ?1 AND w.ready AND w.kind IN (SELECT value FROM json_each(?2)) AND w.id NOT IN (SELECT value FROM json_each(?3))
		ORDER BY w.made_at, c.work, c.n LIMIT 1`, millis(), string(known), string(without)).
		Scan(&c.Work.ID, &c.Work.Kind, &c.Work.Spec, &c.N, &items, &c.Attempts)
	if errors.Is(err, sql.ErrNoRows) {
		return c, false, nil
	}
	if err == nil {
		_, err = tx.ExecContext(ctx, "UPDATE work_chunk SET holder = ?3, lease_until = ?4, attempts = attempts + 1 WHERE work = ?1 AND n = ?2", c.Work.ID, c.N, holder, millis()+leaseFor.Milliseconds())
	}
	if err == nil {
		err = tx.Commit()
	}
	if err != nil {
		return c, false, err
	}
	failpoint.Reach("taken")
	return c, true, json.Unmarshal([]byte(items), &c.Items)
}

// Renew implements Queue.
func (l *Local) Renew(ctx context.Context, c *Chunk, holder string) (bool, error) {
	n, err := l.exec(ctx, "UPDATE work_chunk SET lease_until = ?4 WHERE work = ?1 AND n = ?2 AND holder = ?3 AND NOT done", c.Work.ID, c.N, holder, millis()+leaseFor.Milliseconds())
	return n == 1, err
}

// GiveBack implements Queue.
func (l *Local) GiveBack(ctx context.Context, c *Chunk, holder string) error {
	_, err := l.exec(ctx, "UPDATE work_chunk SET lease_until = 0, attempts = attempts - 1 WHERE work = ?1 AND n = ?2 AND holder = ?3 AND NOT done", c.Work.ID, c.N, holder)
	return err
}

// Finish implements Queue.
func (l *Local) Finish(ctx context.Context, c *Chunk, results []string) error {
	failpoint.Reach("finish")
	defer failpoint.Reach("finished")
	tx, err := l.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after a commit it does nothing
	var done bool
	err = tx.QueryRowContext(ctx, "SELECT done FROM work_chunk WHERE work = ?1 AND n = ?2", c.Work.ID, c.N).Scan(&done)
	if errors.Is(err, sql.ErrNoRows) || done { // it was removed, or is there
		return nil
	}
	for n, body := range results {
		if err == nil {
			_, err = tx.ExecContext(ctx, "INSERT INTO work_result (work, chunk, n, body) VALUES (?1, ?2, ?3, ?4)", c.Work.ID, c.N, n, body)
		}
	}
	if err != nil {
		return err
	}
	failpoint.Reach("written")
	if _, err := tx.ExecContext(ctx, "UPDATE work_chunk SET done = 1, lease_until = 0 WHERE work = ?1 AND n = ?2", c.Work.ID, c.N); err != nil {
		return err
	}
	return tx.Commit()
}

// Done implements Queue.
func (l *Local) Done(ctx context.Context, id string) (done, all int64, err error) {
	err = l.db.QueryRowContext(ctx, "SELECT count(*) FILTER (WHERE done), count(*) FROM work_chunk WHERE work = ?1", id).Scan(&done, &all)
	return done, all, err
}

// Results implements Queue.
func (l *Local) Results(ctx context.Context, id string, chunk int64, f func(body string) error) (ok bool, err error) {
	err = l.db.QueryRowContext(ctx, "SELECT done FROM work_chunk WHERE work = ?1 AND n = ?2", id, chunk).Scan(&ok)
	if err != nil || !ok {
		return false, err
	}
	rows, err := l.db.QueryContext(ctx, "SELECT body FROM work_result WHERE work = ?1 AND chunk = ?2 ORDER BY n", id, chunk)
	if err != nil {
		return true, err
	}
	defer rows.Close()
	for rows.Next() {
		var body string
		if err := rows.Scan(&body); err != nil {
			return true, err
		}
		if err := f(body); err != nil {
			return true, err
		}
	}
	return true, rows.Err()
}
