package fleet

import (
	"context"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// The evidence of verdicts stays on its host. A comparison of policies is work of one chunk for each host that keeps some:
// only a daemon with the instance of the kind takes it.
const (
	evidenceKind = "whatif/"   // and the instance
	keepsLease   = "evidence/" // likewise: the daemon runs and takes such work
)

// keepParts is how long the parts of a comparison are kept.
const keepParts = time.Hour

// EvidenceKind is the kind of the work of the host with an instance.
func EvidenceKind(instance string) string { return evidenceKind + instance }

// AttendEvidence shows for some seconds that a daemon takes work about the evidence of an instance, and removes the parts of
// comparisons that are over.
func (d *DB) AttendEvidence(ctx context.Context, instance string, m *Member) error {
	_, err := d.exec(ctx, `INSERT INTO postseal.lease AS t (name, holder, holder_name, until_at) VALUES ($1, $2, $3, `+now+` + $4::bigint)
		ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, holder_name = excluded.holder_name, until_at = excluded.until_at`,
		keepsLease+instance, m.ID, m.Name, attendFor.Milliseconds())
	if err == nil {
		_, err = d.exec(ctx, "DELETE FROM postseal.work WHERE starts_with(kind, $1) AND used_at < "+now+" - $2::bigint", evidenceKind, keepParts.Milliseconds())
	}
	return err
}

// EvidenceHosts returns the instances whose daemons take work about their evidence.
func (d *DB) EvidenceHosts(ctx context.Context) (map[string]bool, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	rows, err := d.pool.Query(ctx, "SELECT name FROM postseal.lease WHERE starts_with(name, $1) AND until_at >= "+now, keepsLease)
	if err != nil {
		return nil, err
	}
	present := map[string]bool{}
	var name string
	_, err = pgx.ForEachRow(rows, []any{&name}, func() error {
		present[strings.TrimPrefix(name, keepsLease)] = true
		return nil
	})
	return present, err
}

// TakeEvidence is Take for the work of an instance, which is rare: it only looks as a rule.
func (d *DB) TakeEvidence(ctx context.Context, instance, holder string) (c Chunk, ok bool, err error) {
	var due bool
	within, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	err = d.pool.QueryRow(within, `SELECT EXISTS (SELECT FROM postseal.work w JOIN postseal.work_chunk c ON c.work = w.id
		WHERE w.kind = $1 AND w.ready AND NOT c.done AND c.lease_until < `+now+`)`, EvidenceKind(instance)).Scan(&due)
	if err != nil || !due {
		return c, false, err
	}
	return d.Take(ctx, holder, []string{EvidenceKind(instance)}, nil)
}

// EvidencePart reports whether the work of an instance is done, and if not, whether a daemon does it or will.
func (d *DB) EvidencePart(ctx context.Context, id, instance string) (done, present bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	err = d.pool.QueryRow(ctx, `SELECT c.done, c.lease_until >= `+now+` OR EXISTS (SELECT FROM postseal.lease l WHERE l.name = $2 AND l.until_at >= `+now+`)
		FROM postseal.work_chunk c WHERE c.work = $1 AND c.n = 0`, id, keepsLease+instance).Scan(&done, &present)
	return done, present, err
}
