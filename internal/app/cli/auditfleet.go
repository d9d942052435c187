package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"iter"
	"net/netip"
	"os"
	"slices"
	"time"

	"postseal/audit"
	"postseal/domain"
	"postseal/internal/app/batch"
	"postseal/internal/app/fleet"
)

// auditKind is the kind of the work of audit --fleet.
const auditKind = "audit"

// auditSpec is what workers do with each domain of a list.
type auditSpec struct {
	Profile       audit.Profile `json:"profile"`
	Samples       []netip.Addr  `json:"samples,omitempty"`
	Authoritative bool          `json:"authoritative,omitempty"`
	Probe         bool          `json:"probe,omitempty"`
	Bulk          bool          `json:"bulk,omitempty"`
	AllowPrivate  bool          `json:"allow_private,omitempty"`
}

// auditItem is one domain of a list.
type auditItem struct {
	Name      domain.Name      `json:"n"`
	Selectors []audit.Selector `json:"s,omitempty"`
}

// auditResult is what a worker found out: a report or an error.
type auditResult struct {
	Report *audit.Report `json:"report,omitempty"`
	Error  string        `json:"error,omitempty"`
}

// chunkItems is how many domains a worker takes at once: some seconds of work.
const chunkItems = 50

// fleetFlags checks the flags of a run that workers do.
func (a *app) fleetFlags(f *auditFlags) error {
	switch {
	case f.file == "" || f.file == "-":
		return usage("--fleet needs -f FILE").or("it reads the list twice, so not standard input")
	case len(a.flags.zones) > 0 || f.offline:
		return usage("--fleet and --zone cannot be used together").or("workers query their own name servers")
	case f.jobs > 0 || f.rate != "":
		return usage("--jobs and --rate are for one process").or("give them to postseal worker")
	}
	return nil
}

// runFleet lets workers audit the list.
func (b *auditRun) runFleet(ctx context.Context, f *auditFlags) error {
	return b.withFleet(f.store, func(db *fleet.DB) error {
		if err := b.shareAudit(ctx, db, f); err != nil {
			return err
		}
		return b.run(ctx)
	})
}

// shareAudit puts the list into the database, or finds it there with --resume, and lets the results of
// the workers take the place of our own.
func (b *auditRun) shareAudit(ctx context.Context, db *fleet.DB, f *auditFlags) error {
	o := &b.base
	spec, err := json.Marshal(auditSpec{o.Profile, o.Samples, o.Authoritative, o.Probe, o.Bulk, f.allowPrivate})
	if err != nil {
		return err
	}
	hash := sha256.New()
	fmt.Fprintf(hash, "%s\n%s\n", auditKind, spec)
	for item := range b.items(f.file, &err) {
		text, err := json.Marshal(item)
		if err != nil {
			return err
		}
		hash.Write(append(text, '\n'))
	}
	if err != nil {
		return err
	}
	prefix := hex.EncodeToString(hash.Sum(nil)[:16]) + "-"
	id, ready := "", false
	if b.flags.resume {
		if id, ready, err = db.FindWork(ctx, prefix); err != nil {
			return err
		}
	}
	if id == "" {
		id = prefix + time.Now().UTC().Format("20060102T150405.000000000")
	}
	if !ready {
		if err := db.AddWork(ctx, fleet.Work{ID: id, Kind: auditKind, Spec: string(spec)}, b.chunks(f.file, &err)); err != nil {
			return err
		}
	}
	if err == nil {
		b.remote = &remoteAudit{db: db, id: id, skip: b.skip, idle: func() {
			b.warn("no worker has finished anything for %v: run postseal worker on one or more hosts", tellAfter)
		}}
	}
	return err
}

// items reads the entries of the list that are domains, with their selectors.
func (b *auditRun) items(path string, failed *error) iter.Seq[auditItem] {
	return func(yield func(auditItem) bool) {
		file, err := os.Open(path)
		if err != nil {
			*failed = openFailure(path, err)
			return
		}
		defer file.Close()
		for d := range batch.Domains(file, path) {
			if d.Err != nil {
				continue
			}
			if !yield(auditItem{d.Name, append(slices.Clip(b.base.Selectors), b.selectors.Of(d.Name)...)}) {
				return
			}
		}
	}
}

func (b *auditRun) chunks(path string, failed *error) func(yield func([]string) bool) {
	return func(yield func([]string) bool) {
		var chunk []string
		for item := range b.items(path, failed) {
			text, err := json.Marshal(item)
			if err != nil {
				*failed = err
				return
			}
			if chunk = append(chunk, string(text)); len(chunk) == chunkItems {
				if !yield(chunk) {
					return
				}
				chunk = nil
			}
		}
		if len(chunk) > 0 {
			yield(chunk)
		}
	}
}

// remoteAudit reads the results of workers.
type remoteAudit struct {
	db   *fleet.DB
	id   string
	skip int    // results that --output has already
	idle func() // is called once if no worker does anything for a while
}

// outcomes returns what workers found out about the entries of a list, in its order.
func (r *remoteAudit) outcomes(ctx context.Context, list iter.Seq[batch.Domain]) iter.Seq[audited] {
	return func(yield func(audited) bool) {
		next, stop := iter.Pull(r.results(ctx))
		defer stop()
		for range r.skip {
			next()
		}
		for d := range list {
			x := audited{Domain: d}
			if d.Err == nil {
				found, ok := next()
				if !ok {
					return
				}
				if x.report = found.Report; x.report == nil {
					x.Err = fmt.Errorf("%s: %s", d.Name, found.Error)
				}
			}
			if !yield(x) {
				return
			}
		}
	}
}

// The pace of a run that waits for workers.
const (
	lookEvery = 200 * time.Millisecond
	tellAfter = 30 * time.Second // that no worker seems to run
)

// results yields the results of all chunks in their order, and waits for those that are not done. While
// the database does not answer, it waits too.
func (r *remoteAudit) results(ctx context.Context) iter.Seq[auditResult] {
	return func(yield func(auditResult) bool) {
		since, told := time.Now(), false
		for chunk := int64(0); ctx.Err() == nil; {
			var list []auditResult
			ok, err := r.db.Results(ctx, r.id, chunk, func(body string) error {
				var x auditResult
				if err := json.Unmarshal([]byte(body), &x); err != nil {
					x = auditResult{Error: "the result of a worker cannot be read: " + err.Error()}
				}
				list = append(list, x)
				return nil
			})
			if err != nil || !ok {
				if !told && time.Since(since) > tellAfter {
					told = true
					r.idle()
				}
				select {
				case <-time.After(lookEvery):
				case <-ctx.Done():
				}
				continue
			}
			for _, x := range list {
				if !yield(x) {
					return
				}
			}
			chunk++
			since = time.Now()
		}
	}
}
