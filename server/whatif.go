package server

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"postseal/internal/app/conf"
	"postseal/internal/app/whatif"
	"postseal/server/listener"
	"postseal/server/web"
	"postseal/server/web/ui"
)

// The bounds of comparisons of policies: how many run at once, how many are kept and for how long,
// and the size of a pasted policy.
const (
	maxWhatIfs   = 2
	keptWhatIfs  = 16
	whatIfFresh  = 5 * time.Minute
	maxPaste     = 64 << 10
	pastedPrefix = "pasted-"
)

// The names of policies that differ from the one in force by one entry: exempt-REF has the exemption
// that accepts a message, without-exempt-1 and without-rule-1 lack an entry.
const (
	exemptPrefix  = "exempt-"
	withoutPrefix = "without-"
)

// whatIfs runs comparisons in the background, and keeps the newest.
type whatIfs struct {
	d       *Daemon
	ctx     context.Context
	stop    context.CancelFunc
	running sync.WaitGroup

	mu     sync.Mutex
	jobs   map[whatIfKey]*whatIfJob
	pasted map[string][]byte // policies by the hash of their text
}

// whatIfKey is the parameters of a comparison, and the configuration that it began with.
type whatIfKey struct {
	snapshot    *listener.Snapshot
	a, b, since string
}

type whatIfJob struct {
	began     time.Time
	done, all atomic.Int64
	waiting   atomic.Pointer[[]string] // the hosts whose part is still to come
	ended     chan struct{}
	report    *whatif.Report // after ended
	err       error          // after ended
}

func newWhatIfs(d *Daemon) *whatIfs {
	w := &whatIfs{d: d, jobs: map[whatIfKey]*whatIfJob{}, pasted: map[string][]byte{}}
	w.ctx, w.stop = context.WithCancel(context.Background())
	return w
}

func (w *whatIfs) close() {
	w.stop()
	w.running.Wait()
}

// run returns the comparison that a request names, which may still be running.
func (w *whatIfs) run(r *http.Request) (*whatIfJob, error) {
	if err := known(r, "a", "b", "since", "sort"); err != nil {
		return nil, err
	}
	q := r.URL.Query()
	a, b, since := cmp.Or(q.Get("a"), whatif.Live), cmp.Or(q.Get("b"), "strict"), cmp.Or(q.Get("since"), "7d")
	age, err := days(since)
	if err != nil {
		return nil, err
	}
	s := w.d.engine.Current()
	o := whatif.Options{Dir: s.Config.Bundles.Dir, Since: w.d.history.now().Add(-age), Accepted: s.Config.Bundles.Keep == "all"}
	if o.Dir == "" && w.d.fleet == nil {
		return nil, notFound("no evidence is kept: remove [bundles] dir = \"none\" from the configuration")
	}
	if o.A, err = w.policy(r.Context(), a, s.Config); err != nil {
		return nil, err
	}
	if o.B, err = w.policy(r.Context(), b, s.Config); err != nil {
		return nil, err
	}
	return w.begin(whatIfKey{s, a, b, since}, o)
}

// days reads "7d" or "12h".
func days(s string) (time.Duration, error) {
	const most = 366
	unit := map[byte]time.Duration{'d': 24 * time.Hour, 'h': time.Hour}[s[len(s)-1]]
	n, err := strconv.ParseUint(s[:len(s)-1], 10, 16)
	if unit == 0 || err != nil || n == 0 || time.Duration(n)*unit > most*24*time.Hour {
		return 0, badRequest("since is not a number of days or hours such as 7d or 12h")
	}
	return time.Duration(n) * unit, nil
}

// policy returns the policy with a name, which may be a pasted one.
func (w *whatIfs) policy(ctx context.Context, name string, c *conf.Config) (whatif.Policy, error) {
	if ref, ok := strings.CutPrefix(name, exemptPrefix); ok {
		return w.exempting(ctx, name, ref, c)
	}
	if entry, ok := strings.CutPrefix(name, withoutPrefix); ok {
		return w.without(name, entry, c)
	}
	if !strings.HasPrefix(name, pastedPrefix) {
		p, err := whatif.Named(name, c)
		if err != nil {
			return p, badRequest("%v", err)
		}
		return p, nil
	}
	w.mu.Lock()
	text, ok := w.pasted[name]
	w.mu.Unlock()
	if !ok {
		return whatif.Policy{}, notFound("this pasted policy is not kept any more: paste it again")
	}
	p, err := whatif.FromTOML(name, text, w.d.history.now())
	if err != nil {
		return p, badRequest("%v", err)
	}
	return p, nil
}

// begin starts a comparison, unless there is a fresh one with the same key.
func (w *whatIfs) begin(key whatIfKey, o whatif.Options) (*whatIfJob, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.d.history.now()
	maps.DeleteFunc(w.jobs, func(_ whatIfKey, j *whatIfJob) bool { return j.over() && now.Sub(j.began) > whatIfFresh })
	if j := w.jobs[key]; j != nil {
		return j, nil
	}
	running := 0
	var oldest *whatIfKey // of those that ended
	for k, j := range w.jobs {
		switch {
		case !j.over():
			running++
		case oldest == nil || j.began.Before(w.jobs[*oldest].began):
			oldest = &k
		}
	}
	if running >= maxWhatIfs {
		return nil, &web.Refusal{Status: http.StatusServiceUnavailable, Detail: "other comparisons are running: try again later"}
	}
	if len(w.jobs) >= keptWhatIfs {
		delete(w.jobs, *oldest)
	}
	j := &whatIfJob{began: now, ended: make(chan struct{})}
	w.jobs[key] = j
	o.Progress = func(done, all int) { j.done.Store(int64(done)); j.all.Store(int64(all)) }
	w.running.Go(func() {
		defer close(j.ended)
		defer w.d.engine.Recover("whatif", nil)
		j.err = errWhatIf // of a panic
		j.report, j.err = w.compare(o, j)
	})
	return j, nil
}

// compare compares the policies with the evidence of all hosts that share the database.
func (w *whatIfs) compare(o whatif.Options, j *whatIfJob) (*whatif.Report, error) {
	if w.d.fleet == nil {
		r, err := whatif.Run(w.ctx, o)
		if errors.Is(err, fs.ErrNotExist) { // nothing was kept yet
			return &whatif.Report{Schema: whatif.Schema, A: o.A.Name, B: o.B.Name, Since: o.Since, Accepted: o.Accepted, Ways: []whatif.Way{}, Changes: []whatif.Change{}}, nil
		}
		return r, err
	}
	x := whatif.Hosts{DB: w.d.fleet.db, Name: Hostname(), Self: w.d.instanceOf(), Wait: func(hosts []string) { j.waiting.Store(&hosts) }}
	if s := w.d.history.reader(); s != nil {
		x.Store = s
	}
	return x.Compare(w.ctx, o)
}

// awaits returns the hosts that a comparison waits for.
func (j *whatIfJob) awaits() []string {
	if hosts := j.waiting.Load(); hosts != nil {
		return *hosts
	}
	return nil
}

var errWhatIf = errors.New("the comparison failed with an internal error; see the log for details")

func (j *whatIfJob) over() bool {
	select {
	case <-j.ended:
		return true
	default:
		return false
	}
}

// wait gives a short comparison the time to end.
func (j *whatIfJob) wait(ctx context.Context) bool {
	const patience = 800 * time.Millisecond
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case <-j.ended:
		return true
	case <-t.C:
	case <-ctx.Done():
	}
	return false
}

// answer serves GET /v1/whatif: the comparison, or 202 with its progress.
func (w *whatIfs) answer(rw http.ResponseWriter, r *http.Request) {
	j, err := w.run(r)
	if err == nil && j.wait(r.Context()) {
		err = j.err
	}
	if err == nil && !j.over() {
		rw.Header().Set("Content-Type", "application/json")
		rw.Header().Set("Retry-After", "1")
		rw.WriteHeader(http.StatusAccepted)
		json.NewEncoder(rw).Encode(map[string]any{"schema": "postseal.progress/1", "done": j.done.Load(), "all": j.all.Load(), "waiting": append([]string{}, j.awaits()...)}) //nolint:errcheck // the client is gone
		return
	}
	web.JSON(w.d.engine, func(*http.Request) (any, error) {
		if err != nil {
			return nil, err
		}
		return j.report, nil
	})(rw, r)
}

// keep keeps a pasted policy and returns its name.
func (w *whatIfs) keep(text []byte) (string, error) {
	if _, err := whatif.FromTOML("pasted", text, w.d.history.now()); err != nil {
		return "", badRequest("%v", err)
	}
	sum := sha256.Sum256(text)
	name := pastedPrefix + hex.EncodeToString(sum[:6])
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.pasted) >= keptWhatIfs {
		clear(w.pasted)
	}
	w.pasted[name] = slices.Clone(text)
	return name, nil
}

// paste serves POST /v1/policies: it keeps a policy and returns its name, for a= and b=.
func (w *whatIfs) paste(rw http.ResponseWriter, r *http.Request) {
	web.JSON(w.d.engine, func(r *http.Request) (any, error) {
		if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/toml" {
			return nil, &web.Refusal{Status: http.StatusUnsupportedMediaType, Detail: "send the policy with Content-Type: application/toml"}
		}
		text, err := io.ReadAll(http.MaxBytesReader(rw, r.Body, maxPaste))
		if err != nil {
			return nil, &web.Refusal{Status: http.StatusRequestEntityTooLarge, Detail: "the policy is larger than 64 KiB"}
		}
		name, err := w.keep(text)
		return map[string]string{"schema": "postseal.policy/1", "name": name}, err
	})(rw, r)
}

// WhatIf implements ui.Source.
func (c console) WhatIf(r *http.Request) (ui.Comparison, error) {
	j, err := c.d.whatIfs.run(r)
	if err != nil {
		return ui.Comparison{}, err
	}
	if !j.wait(r.Context()) {
		return ui.Comparison{Done: int(j.done.Load()), All: int(j.all.Load()), Waiting: j.awaits()}, nil
	}
	return ui.Comparison{Report: j.report}, j.err
}

// Paste implements ui.Source.
func (c console) Paste(text string) (string, error) {
	if len(text) > maxPaste {
		return "", &web.Refusal{Status: http.StatusRequestEntityTooLarge, Detail: "the policy is larger than 64 KiB"}
	}
	return c.d.whatIfs.keep([]byte(strings.ReplaceAll(text, "\r\n", "\n")))
}

// Trial implements ui.Source.
func (c console) Trial() *ui.Trial {
	t := c.d.trial.report()
	if !t.Running {
		return nil
	}
	return &ui.Trial{Enforce: t.Enforce, Discovery: t.Discovery, Since: t.Since, Messages: t.Messages, Changes: t.Changes, Senders: len(t.Senders)}
}
