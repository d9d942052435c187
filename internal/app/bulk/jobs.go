// Package bulk audits long lists of domains in the background. A job is a directory: it survives
// a restart, and continues after the last domain that was done.
package bulk

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"postseal/audit"
	"postseal/domain"
	"postseal/internal/app/atomicfile"
	"postseal/internal/app/batch"
)

// The bounds of jobs.
const (
	MaxDomains = 100_000 // of one job
	MaxJobs    = 20      // that are kept
	workers    = 8
)

// The states of a job.
const (
	Waiting = "waiting" // for the job before it
	Running = "running"
	Stopped = "stopped" // by a person
	Done    = "done"
	Failed  = "failed" // Why says so
)

// ErrNoJob means that there is no job with this name.
var ErrNoJob = errors.New("there is no such job")

// Info describes a job.
type Info struct {
	ID      string    `json:"id"`
	Created time.Time `json:"created"`
	By      string    `json:"by"` // who started it
	State   string    `json:"state"`
	Why     string    `json:"why"`
	Total   int       `json:"domains"`
	Done    int       `json:"done"`
	Skipped []string  `json:"skipped"` // lines that name no domain, the first ones
	Omitted int       `json:"skipped_lines"`
	// Compared is when the earlier list was started with which this one is compared, null without one.
	Compared *time.Time `json:"compared"`
}

// Jobs are the jobs of one directory. They run one after another. It is safe for concurrent use.
type Jobs struct {
	dir   string
	audit func(context.Context, domain.Name) *audit.Report
	now   func() time.Time

	ctx     context.Context
	end     context.CancelFunc
	running sync.WaitGroup

	mu   sync.Mutex
	jobs map[string]*job
	turn chan struct{} // closed when the jobs started so far have ended
}

// job is one job in memory. Its fields are guarded by the lock of Jobs.
type job struct {
	Info
	began  time.Time // of this run
	before int       // domains that were done before it
	stop   context.CancelFunc
	ended  chan struct{} // closed when it does not run; nil if it never did
	index  *index        // nil until it is needed
}

// Open reads the jobs of a directory, which is created, and continues those that did not end. audit
// must return a report for every domain; one of a context that ended is not kept.
func Open(dir string, now func() time.Time, audit func(context.Context, domain.Name) *audit.Report) (*Jobs, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	j := &Jobs{dir: dir, audit: audit, now: now, turn: make(chan struct{}), jobs: map[string]*job{}}
	j.ctx, j.end = context.WithCancel(context.Background())
	close(j.turn)
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name(), "job.json"))
		var x job
		if err != nil || json.Unmarshal(text, &x.Info) != nil || x.ID != e.Name() {
			continue // it is not ours, or was being made
		}
		j.jobs[x.ID] = &x
	}
	for _, x := range j.sorted() {
		if x.State == Waiting || x.State == Running {
			x.State = Waiting
			j.start(x)
		}
	}
	return j, nil
}

// Close ends the jobs that run; the next Open continues them.
func (j *Jobs) Close() {
	j.end()
	j.running.Wait()
}

// sorted returns the jobs, the oldest first.
func (j *Jobs) sorted() []*job {
	var list []*job
	for _, x := range j.jobs {
		list = append(list, x)
	}
	slices.SortFunc(list, func(a, b *job) int { return strings.Compare(a.ID, b.ID) })
	return list
}

// Add begins a job for the domains of a list, one per line. Lines that name no domain are skipped and
// reported. The error is for the person who started it.
func (j *Jobs) Add(list io.Reader, by string) (Info, error) {
	x := &job{Info: Info{By: by, State: Waiting, Created: j.now().UTC(), Skipped: []string{}}}
	var names strings.Builder
	seen := map[domain.Name]bool{}
	for d := range batch.Domains(list, "") {
		switch {
		case d.Err != nil:
			x.skip(fmt.Sprintf("line %d: %v", d.Line, d.Err))
		case len(seen) == MaxDomains && !seen[d.Name]:
			return Info{}, fmt.Errorf("the list has more than %d domains: split it", MaxDomains)
		case !seen[d.Name]:
			seen[d.Name] = true
			names.WriteString(string(d.Name) + "\n")
		}
	}
	if x.Total = len(seen); x.Total == 0 {
		if len(x.Skipped) > 0 {
			return Info{}, fmt.Errorf("the list names no domain: %s", x.Skipped[0])
		}
		return Info{}, errors.New("the list is empty: write one domain per line")
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.jobs) >= MaxJobs {
		return Info{}, fmt.Errorf("%d jobs are kept: remove one first", MaxJobs)
	}
	x.ID = x.Created.Format("20060102-150405-") + strings.ToLower(rand.Text()[:4])
	dir := filepath.Join(j.dir, x.ID)
	if err := os.Mkdir(dir, 0o750); err != nil {
		return Info{}, err
	}
	if err := os.WriteFile(filepath.Join(dir, "domains"), []byte(names.String()), 0o640); err != nil {
		return Info{}, err
	}
	if err := j.save(x); err != nil {
		return Info{}, err
	}
	j.jobs[x.ID] = x
	j.start(x)
	return x.Info, nil
}

// skip notes a line that names no domain.
func (x *job) skip(why string) {
	const most = 10
	if x.Omitted++; len(x.Skipped) < most {
		x.Skipped = append(x.Skipped, why)
	}
}

// save writes what is known of a job. The caller holds the lock.
func (j *Jobs) save(x *job) error {
	text, err := json.Marshal(x.Info)
	if err != nil {
		return err
	}
	return atomicfile.Write(filepath.Join(j.dir, x.ID, "job.json"), append(text, '\n'), atomicfile.Options{Mode: 0o640, Prefix: ".new-"})
}

// start runs a job in the background. The caller holds the lock, or is Open.
func (j *Jobs) start(x *job) {
	ctx, stop := context.WithCancel(j.ctx)
	ended, before, after := make(chan struct{}), j.turn, make(chan struct{})
	x.stop, x.ended, j.turn = stop, ended, after
	j.running.Go(func() {
		defer close(after)
		defer stop()
		select {
		case <-before:
			j.finish(ctx, x, j.run(ctx, x))
			close(ended)
		case <-ctx.Done():
			close(ended)
			<-before
		}
	})
}

// finish notes how the run of a job ended. One that the daemon ended stays as it is.
func (j *Jobs) finish(ctx context.Context, x *job, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case x.State != Running:
	case err != nil:
		x.State, x.Why = Failed, err.Error()
	case ctx.Err() == nil:
		x.State = Done
	}
	j.save(x) //nolint:errcheck // it is continued, and comes to the same
}

// run audits the domains that are left.
func (j *Jobs) run(ctx context.Context, x *job) error {
	list, err := os.Open(filepath.Join(j.dir, x.ID, "domains"))
	if err != nil {
		return err
	}
	defer list.Close()
	out, err := os.OpenFile(filepath.Join(j.dir, x.ID, reportsFile), os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		return err
	}
	defer out.Close()
	read := &index{}
	if err := batch.Resume(out, func(_ int, text []byte) error { return read.line(text) }); err != nil {
		return err
	}
	earlier, err := j.earlier(x)
	if err != nil {
		return err
	}
	if !j.begin(x, read, earlier) {
		return nil
	}
	todo := batch.Skip(batch.Domains(list, "the list"), len(read.rows), read.last(), reportsFile)
	w := bufio.NewWriter(out)
	for r := range batch.Run(ctx, todo, batch.Options[batch.Domain]{Workers: workers}, j.worker(earlier)) {
		if r.err != nil {
			return r.err
		}
		if _, err := w.Write(r.line); err != nil {
			return err
		}
		if err := w.Flush(); err != nil {
			return err
		}
		j.mu.Lock()
		read.add(r.row)
		x.Done++
		j.mu.Unlock()
	}
	return nil
}

// begin notes that a job runs, unless it was stopped while it waited.
func (j *Jobs) begin(x *job, read *index, e *earlier) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	if x.State != Waiting {
		return false
	}
	x.State, x.began, x.before, x.Done, x.index = Running, j.now(), len(read.rows), len(read.rows), read
	if len(e.domains) > 0 {
		x.Compared = &e.created
	}
	j.forget(x)
	return j.save(x) == nil
}

// forget drops the rows of other jobs from memory, but those of one that runs.
func (j *Jobs) forget(but *job) {
	for _, x := range j.jobs {
		if x != but && x.State != Running {
			x.index = nil
		}
	}
}

// result is the audit of one domain.
type result struct {
	row  row
	line []byte
	err  error
}

// worker returns what batch.Run calls for each of its workers.
func (j *Jobs) worker(e *earlier) func() func(context.Context, *batch.Domain, *result) {
	return func() func(context.Context, *batch.Domain, *result) {
		return func(ctx context.Context, d *batch.Domain, r *result) {
			if d.Err != nil {
				r.err = d.Err
				return
			}
			report := j.audit(ctx, d.Name)
			report.Records.SPF.Tree, report.Records.SPF.Samples = nil, nil // large, and on the page of the domain
			r.row = rowOf(report)
			r.row.was = e.of(&r.row)
			if r.line, r.err = json.Marshal(stored{report, r.row.was}); r.err == nil {
				r.line = append(r.line, '\n')
			}
		}
	}
}

// List describes all jobs, the newest first.
func (j *Jobs) List() []Info {
	j.mu.Lock()
	defer j.mu.Unlock()
	list := []Info{}
	for _, x := range slices.Backward(j.sorted()) {
		list = append(list, x.Info)
	}
	return list
}

// get returns a job. The caller holds the lock.
func (j *Jobs) get(id string) (*job, error) {
	x := j.jobs[id]
	if x == nil {
		return nil, ErrNoJob
	}
	return x, nil
}

// Stop stops a job, which Resume continues.
func (j *Jobs) Stop(id string) error {
	j.mu.Lock()
	x, err := j.get(id)
	if err != nil || x.State != Running && x.State != Waiting {
		j.mu.Unlock()
		return err
	}
	x.State = Stopped
	err = j.save(x)
	x.stop()
	j.mu.Unlock()
	<-x.ended
	return err
}

// Resume continues a job that was stopped or failed.
func (j *Jobs) Resume(id string) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	x, err := j.get(id)
	if err != nil || x.State != Stopped && x.State != Failed || j.ctx.Err() != nil {
		return err
	}
	x.State, x.Why = Waiting, ""
	if err := j.save(x); err != nil {
		return err
	}
	j.start(x)
	return nil
}

// Remove stops a job and deletes it.
func (j *Jobs) Remove(id string) error {
	if err := j.Stop(id); err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if _, err := j.get(id); err != nil {
		return err
	}
	delete(j.jobs, id)
	if err := os.RemoveAll(filepath.Join(j.dir, id)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
