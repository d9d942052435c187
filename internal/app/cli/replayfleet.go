package cli

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"postseal"
	"postseal/internal/app/clients"
	"postseal/internal/app/conf"
	"postseal/internal/app/failpoint"
	"postseal/internal/app/fleet"
	"postseal/internal/app/mailbox"
	"postseal/internal/app/replay"
	"postseal/store"
)

// replayKind is the kind of the work of replay --fleet.
const replayKind = "replay"

// chunkMessages is how many messages a worker takes at once.
const chunkMessages = 100

// replayedJSON is what a worker found out about a message. In the text of a result, the line of
// --output follows on the next line; it has the record then.
type replayedJSON struct {
	Name      string            `json:"n"`
	Size      int64             `json:"s,omitempty"`
	Outcome   replay.Outcome    `json:"o"`
	Treatment clients.Treatment `json:"t,omitempty"`
	Err       string            `json:"e,omitempty"`
	Record    *replay.Record    `json:"r,omitempty"`
	Into      *store.Batch      `json:"i,omitempty"` // for --into
}

// replayFleet lets workers verify the messages of an archive.
func (a replayCommand) replayFleet(ctx context.Context, f *replayFlags, archive *mailbox.Archive, o *replay.Options, into *into) (results iter.Seq[replay.Result], end func(), err error) {
	if len(a.flags.zones) > 0 {
		return nil, nil, usage("--fleet and --zone cannot be used together").or("workers query their own name servers")
	}
	for i, p := range archive.Paths { // as other hosts see them
		if archive.Paths[i], err = filepath.Abs(p); err != nil {
			return nil, nil, openFailure(p, err)
		}
	}
	c, err := f.config(a.config)
	if err != nil {
		return nil, nil, err
	}
	spec, err := a.replaySpec(f)
	if err != nil {
		return nil, nil, err
	}
	text, err := c.Verdicts()
	if err != nil {
		return nil, nil, err
	}
	spec.Config, spec.Roots = string(text), archive.Paths
	q, err := a.openQueue(ctx, f.store)
	if err != nil {
		return nil, nil, err
	}
	id, err := a.shareReplay(ctx, q, f, spec, archive)
	var chunks int64
	if err == nil {
		_, chunks, err = q.Done(ctx, id)
	}
	if err != nil {
		q.Close()
		return nil, nil, fleetFailure(q.address, err)
	}
	stop := a.help(ctx, q)
	end = func() {
		stop()
		q.Close()
	}
	f.waiting = &waiting{tell: func(text string) { a.warn("%s", text) }, queue: q, id: id, where: strings.Join(archive.Paths, ", "), wait: f.wait, giveUp: f.giveUp}
	return a.replayOutcomes(f.waiting.results(ctx, chunks), o.Done, into), end, nil
}

// shareReplay puts the messages into the queue, or finds them there with --resume. The same command is
// the one with the same paths, configuration and flags.
func (a replayCommand) shareReplay(ctx context.Context, q fleet.Queue, f *replayFlags, spec *replaySpec, archive *mailbox.Archive) (id string, err error) {
	same := *spec
	same.Now, same.Since = time.Time{}, time.Time{} // --since 30d names another time each time
	key, err := json.Marshal(&same)
	if err != nil {
		return "", err
	}
	text, err := json.Marshal(spec)
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	fmt.Fprintf(sum, "%s\n%s\n%s\n", replayKind, key, f.since)
	listed := false
	id, _, err = share(ctx, q, f.resume, sum, fleet.Work{Kind: replayKind, Spec: string(text)}, func(string) func(func([]string) bool) {
		listed = true
		return replayChunks(archive)
	})
	if !listed {
		archive.CountPassed()
	}
	return id, err
}

// replayChunks are the places of the messages of an archive, a hundred messages each.
func replayChunks(archive *mailbox.Archive) func(func([]string) bool) {
	return func(yield func([]string) bool) {
		var places []mailbox.Place
		n := 0
		for p := range archive.Places() {
			places = mailbox.Join(places, p)
			if n++; n < chunkMessages {
				continue
			}
			if !yield(placesJSON(places)) {
				return
			}
			places, n = nil, 0
		}
		if n > 0 {
			yield(placesJSON(places))
		}
	}
}

func placesJSON(places []mailbox.Place) (items []string) {
	for i := range places {
		text, _ := json.Marshal(&places[i]) //nolint:errcheck // texts and numbers
		items = append(items, string(text))
	}
	return items
}

// replayOutcomes reads the results of workers. Those that an earlier run wrote to --output are done.
func (a replayCommand) replayOutcomes(bodies iter.Seq[string], done func(string) bool, into *into) iter.Seq[replay.Result] {
	return func(yield func(replay.Result) bool) {
		for body := range bodies {
			r, facts := replayedOf(body)
			into.addRow(facts)
			if done != nil && done(r.Name) {
				r = replay.Result{Name: r.Name, Size: r.Size, Outcome: replay.Done}
			}
			if !yield(r) {
				return
			}
		}
	}
}

// replayedOf reads the text of a result.
func replayedOf(body string) (r replay.Result, into *store.Batch) {
	head, line, _ := strings.Cut(body, "\n")
	var x replayedJSON
	err := json.Unmarshal([]byte(head), &x)
	if err == nil && line != "" {
		x.Record = new(replay.Record)
		err = json.Unmarshal([]byte(line), x.Record)
	}
	if err != nil {
		return replay.Result{Name: x.Name, Outcome: replay.Broken, Err: fmt.Errorf("the result of a worker cannot be read: %w", err)}, nil
	}
	r = replay.Result{Name: x.Name, Size: x.Size, Outcome: x.Outcome, Treatment: x.Treatment, Record: x.Record}
	if x.Err != "" {
		r.Err = errors.New(x.Err)
	}
	if line != "" {
		r.Line = []byte(line)
	}
	return r, x.Into
}

// replayedText is the text of a result.
func replayedText(r *replay.Result, into *store.Batch) string {
	x := replayedJSON{Name: r.Name, Size: r.Size, Outcome: r.Outcome, Treatment: r.Treatment, Into: into}
	if r.Err != nil {
		x.Err = r.Err.Error()
	}
	if r.Line == nil {
		x.Record = r.Record
	}
	head, err := json.Marshal(&x)
	if err != nil {
		head, _ = json.Marshal(replayedJSON{Name: r.Name, Size: r.Size, Outcome: replay.Broken, Err: err.Error()}) //nolint:errcheck // texts
		return string(head)
	}
	if r.Line == nil {
		return string(head)
	}
	return string(head) + "\n" + strings.ToValidUTF8(string(r.Line), "\uFFFD")
}

// mailWork is a replay that a worker takes part in.
type mailWork struct {
	spec    replaySpec
	options replay.Options
	key     store.MessageIDKey // of the rows for --into
	err     error              // why this worker cannot do it
	found   bool               // some of the mail is where it should be
	until   time.Time          // the worker leaves it to others
}

// unseenPause is how long a worker leaves mail that it does not see to others.
const unseenPause = time.Minute

// unseen are the works that this worker leaves to others for now.
func (w *worker) unseen() (ids []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	maps.DeleteFunc(w.mail, func(id string, m *mailWork) bool { return !m.until.IsZero() && now.After(m.until) })
	for id, m := range w.mail {
		if !m.until.IsZero() {
			ids = append(ids, id)
		}
	}
	return ids
}

// replayed are the results of the messages of a chunk. ok is false if they are not all there because
// ctx ended, or if this worker does not find the mail.
func (w *worker) replayed(ctx context.Context, c *fleet.Chunk) (list []string, ok bool) {
	places := make([]mailbox.Place, len(c.Items))
	for i, item := range c.Items {
		if err := json.Unmarshal([]byte(item), &places[i]); err != nil {
			places[i] = mailbox.Place{Count: 1, Err: err.Error()}
		}
	}
	m := w.mailWork(c)
	if c.Attempts > fleet.MaxAttempts {
		return brokenMail(places, fmt.Errorf("each of %d workers ended during these messages", fleet.MaxAttempts)), true
	}
	if m.err != nil {
		return brokenMail(places, m.err), true
	}
	if !w.finds(c, m, places) {
		return nil, false
	}
	kept := keptRows{key: m.key, of: map[*replay.Record]*store.Batch{}}
	o := m.options
	o.Workers, o.Shared = min(replayJobs, max(1, w.flags.workers()/workerChunks)), true
	if m.spec.Into {
		o.Keep = func(r *postseal.Report, record *replay.Record) { kept.add(r, record, m.spec.Policies[0]) }
	}
	n := 0
	for i := range places {
		n += places[i].Count
	}
	for r := range replay.Run(ctx, (&mailbox.Archive{}).At(places), o) {
		if list = append(list, replayedText(&r, kept.get(r.Record))); len(list) == n/2 {
			failpoint.Reach("half")
		}
	}
	return list, len(list) == n && ctx.Err() == nil
}

// replayJobs is how many messages a worker verifies at once at most: more cost memory and gain nothing.
const replayJobs = 64

// finds reports whether this worker sees the mail of a work. Once it saw some, a message that is missing
// is a result.
func (w *worker) finds(c *fleet.Chunk, m *mailWork, places []mailbox.Place) bool {
	known := func(p mailbox.Place) bool { return p.Err != "" || p.Present() }
	w.mu.Lock()
	found := m.found
	w.mu.Unlock()
	found = found || slices.ContainsFunc(places, known)
	w.mu.Lock()
	defer w.mu.Unlock()
	m.found = found
	if !found {
		m.until = time.Now().Add(unseenPause)
		w.warn("this host does not see the mail in %s, such as %s: left to other workers", strings.Join(m.spec.Roots, ", "), places[0].Path)
	}
	return found
}

// mailWork returns the replay that a chunk is of.
func (w *worker) mailWork(c *fleet.Chunk) *mailWork {
	w.mu.Lock()
	defer w.mu.Unlock()
	if m := w.mail[c.Work.ID]; m != nil {
		return m
	}
	m := &mailWork{}
	if w.mail == nil || len(w.mail) > 100 {
		w.mail = map[string]*mailWork{}
	}
	w.mail[c.Work.ID] = m
	if m.err = json.Unmarshal([]byte(c.Work.Spec), &m.spec); m.err != nil {
		return m
	}
	var config *conf.Config
	if config, _, m.err = conf.Parse("configuration of the command", []byte(m.spec.Config), time.Now()); m.err != nil {
		return m
	}
	if key, err := config.Store.MessageIDKey(); err == nil {
		m.key = key
	} else {
		w.warn("messages of this host cannot be found by Message-ID: %v", err)
	}
	dns, err := w.resolverOfAll()
	if m.err = err; err == nil {
		m.options, m.err = replayCommand{w.app}.replayWith(config, &m.spec, dns)
	}
	return m
}

// keptRows are the rows for --into of a chunk.
type keptRows struct {
	key store.MessageIDKey
	mu  sync.Mutex
	of  map[*replay.Record]*store.Batch
}

func (k *keptRows) add(r *postseal.Report, record *replay.Record, mode string) {
	b := rowOf(r, record, mode, k.key)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.of[record] = &b
}

// get returns the row of a message, nil if it was not verified.
func (k *keptRows) get(record *replay.Record) *store.Batch {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.of[record]
}

func brokenMail(places []mailbox.Place, err error) (list []string) {
	for i := range places {
		for name := range places[i].Names() {
			list = append(list, replayedText(&replay.Result{Name: name, Outcome: replay.Broken, Err: err}, nil))
		}
	}
	return list
}
