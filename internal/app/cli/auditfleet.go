package cli

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math"
	"net/netip"
	"os"
	"slices"

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
func (a auditCommand) fleetFlags(f *auditFlags) error {
	switch {
	case f.file == "" || f.file == "-":
		return usage("--fleet needs -f FILE").or("it reads the list twice, so not standard input")
	case len(a.flags.zones) > 0 || f.offline:
		return usage("--fleet and --zone cannot be used together").or("workers query their own name servers")
	case f.wait < 0:
		return usage("--wait %v is less than 0", f.wait)
	case f.jobs > 0 || f.rate != "":
		return usage("--jobs and --rate are for one process").or("give them to postseal worker")
	}
	return nil
}

// runFleet lets workers audit the list.
func (b *auditRun) runFleet(ctx context.Context, f *auditFlags) error {
	return b.withQueue(ctx, f.store, func(q *workQueue) error {
		ctx, giveUp := context.WithCancelCause(ctx)
		defer giveUp(nil)
		if err := b.shareAudit(ctx, q, f, giveUp); err != nil {
			return err
		}
		defer b.help(ctx, q)()
		return waited(ctx, b.run(ctx))
	})
}

// shareAudit puts the list into the database, or finds it there with --resume, and lets the results of
// the workers take the place of our own.
func (b *auditRun) shareAudit(ctx context.Context, q *workQueue, f *auditFlags, giveUp context.CancelCauseFunc) error {
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
	var unread error
	id, _, err := share(ctx, q, b.flags.resume, hash, fleet.Work{Kind: auditKind, Spec: string(spec)}, func(string) func(func([]string) bool) { return b.chunks(f.file, &unread) })
	if err = errors.Join(unread, err); err == nil {
		b.remote = &remoteAudit{&waiting{tell: func(text string) { b.warn("%s", text) }, queue: q, id: id, wait: f.wait, giveUp: giveUp}, b.skip}
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
	*waiting
	skip int // results that --output has already
}

// outcomes returns what workers found out about the entries of a list, in its order.
func (r *remoteAudit) outcomes(ctx context.Context, list iter.Seq[batch.Domain]) iter.Seq[audited] {
	return func(yield func(audited) bool) {
		next, stop := iter.Pull(r.results(ctx, math.MaxInt64))
		defer stop()
		for range r.skip {
			next()
		}
		for d := range list {
			x := audited{Domain: d}
			if d.Err == nil {
				body, ok := next()
				if !ok {
					return
				}
				found := auditResultOf(body)
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

func auditResultOf(body string) (x auditResult) {
	if err := json.Unmarshal([]byte(body), &x); err != nil {
		return auditResult{Error: "the result of a worker cannot be read: " + err.Error()}
	}
	return x
}
