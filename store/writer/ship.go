package writer

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"postseal/internal/app/atomicfile"
	"postseal/internal/app/failpoint"
	"postseal/store"
	"postseal/store/journal"
)

const (
	batchRows   = 1000
	batchTime   = 250 * time.Millisecond // a batch waits that long for more
	heartbeat   = 10 * time.Second
	firstPause  = time.Second // after a failure, doubled up to longPause
	longPause   = 30 * time.Second
	shipTime    = 2 * time.Minute // for one transaction
	cloneTime   = time.Minute
	queueTime   = time.Second    // in which a row is in the journal, if that can be written
	maxAhead    = 24 * time.Hour // a row that is further in the future is bad
	maxBadBytes = 1 << 20        // of refused rows that are kept
)

// Stats are the counters of a Writer.
type Stats struct {
	Shipped, Late int64
	Lost          map[string]int64
	Pending       int64 // octets of the journal that are not shipped
	ShippedUntil  time.Time
	Up            bool // the database took the last batch
	Down          bool // the database failed, and did not take one since
	Full          bool // the journal is full
	Skew          time.Duration
}

// Stats returns the counters.
func (w *Writer) Stats() Stats {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.stats
	s.Lost = map[string]int64{}
	for reason, n := range w.stats.Lost {
		s.Lost[reason] = n
	}
	s.Pending = w.o.Journal.Stats(w.at)
	return s
}

// Batches returns the seconds that each batch took since the last call, of at most 1000.
func (w *Writer) Batches() []float64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	list := w.batches
	w.batches = nil
	return list
}

// shipper moves records from the journal to the database.
type shipper struct {
	w       *Writer
	db      store.Store
	node    store.Node
	begin   store.Position // where the next claim begins; zero: where the database says
	claimed time.Time
	pause   time.Duration
	told    bool // that the database is away
}

const (
	instanceFile = "instance"
	instanceLen  = 32 // hexadecimal digits
)

// Instance returns who writes the journal in a directory, "" if that cannot be read.
func Instance(dir string) string {
	text, err := os.ReadFile(filepath.Join(dir, instanceFile))
	id, _, _ := strings.Cut(string(text), "\n")
	if id = strings.TrimSpace(id); err != nil || len(id) != instanceLen {
		return ""
	}
	return id
}

// newShipper reads who this process is. The file holds the instance, and, while no database has
// it yet, the position where it begins.
func newShipper(w *Writer) (*shipper, error) {
	s := &shipper{w: w, node: store.Node{Boot: random(), Name: w.o.Name, Version: w.o.Version}}
	text, err := os.ReadFile(s.instancePath())
	id, rest, _ := strings.Cut(string(text), "\n")
	if s.node.Instance = strings.TrimSpace(id); err != nil || len(s.node.Instance) != instanceLen {
		return s, s.newInstance(store.Position{})
	}
	if _, err := fmt.Sscan(rest, &s.begin.Segment, &s.begin.Offset); err != nil {
		s.begin = store.Position{}
	}
	return s, nil
}

func (s *shipper) instancePath() string { return filepath.Join(s.w.o.Dir, instanceFile) }

// newInstance gives this process its own identity, which begins at a position.
func (s *shipper) newInstance(at store.Position) error {
	s.node = store.Node{Instance: random(), Boot: s.node.Boot, Name: s.node.Name, Version: s.node.Version}
	s.begin = at
	return s.writeInstance()
}

func (s *shipper) writeInstance() error {
	text := s.node.Instance + "\n"
	if s.begin != (store.Position{}) {
		text += fmt.Sprintln(s.begin.Segment, s.begin.Offset)
	}
	return atomicfile.Write(s.instancePath(), []byte(text), atomicfile.Options{Mode: 0o640, Prefix: ".new-"})
}

func random() string {
	b := make([]byte, 16)
	rand.Read(b)
	return hex.EncodeToString(b)
}

// run ships until ctx ends, or until the writer ended and everything is shipped.
func (s *shipper) run(ctx context.Context) {
	defer s.disconnect()
	for ctx.Err() == nil {
		n, err := s.step(ctx)
		s.report(ctx, err)
		switch {
		case err != nil:
			s.pause = min(max(2*s.pause, s.w.o.Pause), longPause)
			sleep(ctx, s.pause, nil)
			continue
		case n >= batchRows:
		case n > 0:
			sleep(ctx, batchTime, s.w.drained) // for the next batch to fill
		case s.ended():
			return
		default:
			s.wait(ctx)
		}
		s.pause = 0
	}
}

// ended reports whether nothing more can come.
func (s *shipper) ended() bool {
	select {
	case <-s.w.drained:
		b, err := s.w.o.Journal.Read(journal.Position(s.node.At), 1)
		return err != nil || len(b.Records) == 0
	default:
		return false
	}
}

// wait waits for news, or until it is time to say that this node lives.
func (s *shipper) wait(ctx context.Context) {
	t := time.NewTimer(heartbeat)
	defer t.Stop()
	select {
	case <-s.w.news:
		sleep(ctx, batchTime, s.w.drained)
	case <-s.w.drained:
	case <-ctx.Done():
	case <-t.C:
	}
}

// sleep ends early with ctx or quit.
func sleep(ctx context.Context, d time.Duration, quit <-chan struct{}) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-quit:
	case <-ctx.Done():
	}
}

// report logs when the database goes and comes.
func (s *shipper) report(ctx context.Context, err error) {
	s.w.mu.Lock()
	s.w.stats.Up, s.w.stats.Down = err == nil, err != nil && ctx.Err() == nil
	s.w.at = journal.Position(s.node.At)
	s.w.mu.Unlock()
	switch {
	case err != nil && !s.told && ctx.Err() == nil:
		s.told = true
		s.w.o.Log.Error("the store does not accept verdicts: they wait in the journal", "error", err.Error())
	case err == nil && s.told:
		s.told = false
		s.w.o.Log.Info("the store accepts verdicts again")
	}
}

// connect opens the database and claims the node.
func (s *shipper) connect(ctx context.Context) error {
	if s.db == nil {
		db, err := s.w.o.Open(ctx)
		if err != nil {
			return err
		}
		s.db = db
		if s.w.o.Opened != nil {
			s.w.o.Opened(db)
		}
	}
	return s.claim(ctx)
}

func (s *shipper) disconnect() {
	if s.db == nil {
		return
	}
	if s.w.o.Closed != nil {
		s.w.o.Closed()
	}
	s.db.Close()
	s.db = nil
}

func (s *shipper) claim(ctx context.Context) error {
	n := s.node
	n.At = s.begin
	n, err := s.db.Claim(ctx, n)
	if err != nil {
		return err
	}
	if s.begin != (store.Position{}) { // before anything is shipped from there
		begin := s.begin
		s.begin = store.Position{}
		if err := s.writeInstance(); err != nil {
			s.begin = begin
			return err
		}
	}
	s.node, s.claimed = n, s.w.o.Now()
	if info, err := s.db.Info(ctx); err == nil && info.Clock > 0 {
		skew := s.w.o.Now().Sub(store.Time(info.Clock))
		s.w.mu.Lock()
		s.w.stats.Skew = skew
		s.w.mu.Unlock()
		if skew.Abs() > 5*time.Minute {
			s.w.o.Log.Warn("the clock differs from that of the database", "by", skew.String())
		}
	}
	return nil
}

// step ships one batch, and returns its records.
func (s *shipper) step(ctx context.Context) (n int, err error) {
	ctx, cancel := context.WithTimeout(ctx, shipTime)
	defer cancel()
	if s.db == nil || s.claimed.IsZero() || s.begin != (store.Position{}) {
		if err := s.connect(ctx); err != nil {
			return 0, err
		}
	}
	if begin, ahead := s.w.o.Journal.Ahead(journal.Position(s.node.At)); ahead {
		s.w.o.Log.Warn("the database is ahead of the journal, which was removed or lost, or the clock was wrong: the journal is read from the start of this process")
		if err := s.skipTo(ctx, store.Position(begin)); errors.Is(err, store.ErrPosition) {
			return batchRows, s.reclaim(ctx)
		} else if err != nil {
			return 0, err
		}
	}
	before := s.w.o.Now().Add(-queueTime)
	b, err := s.w.o.Journal.Read(journal.Position(s.node.At), batchRows)
	if err != nil {
		return 0, fmt.Errorf("the journal: %w", err)
	}
	if b.Gone {
		s.w.Lose(store.LossFailover, -1)
	}
	if b.Damaged > 0 {
		s.w.Lose(store.LossCorrupt, int64(b.Damaged))
	}
	err = s.ship(ctx, b.Records, store.Position(b.End), s.until(before, b))
	if errors.Is(err, store.ErrPosition) {
		return batchRows, s.reclaim(ctx)
	}
	if err == nil {
		s.w.o.Journal.Release(journal.Position(s.node.At))
		failpoint.Reach("released")
	}
	return len(b.Records), err
}

// until is the time up to which everything is stored once a batch is: that before it was read,
// if nothing is left in the journal or waits for it; else that of its last row. Days are closed
// by it, so it must not be too late.
func (s *shipper) until(before time.Time, b journal.Batch) int64 {
	if s.node.Shipped > store.Millis(before.Add(maxAhead)) { // the clock was wrong then
		s.node.Shipped = 0
	}
	if len(b.Records) < batchRows && s.w.diskOK.Load() {
		return max(s.node.Shipped, store.Millis(before))
	}
	for i := len(b.Records) - 1; i >= 0; i-- {
		var row struct {
			Millis int64 `json:"t"`
		}
		if r := b.Records[i]; r.Kind == kindRow && json.Unmarshal(r.Data, &row) == nil {
			return max(s.node.Shipped, min(row.Millis, store.Millis(before)))
		}
	}
	return s.node.Shipped
}

// reclaim takes the node back after another process took it, or reads the position again. A
// node that is taken twice within a minute belongs to a copy of this host's disk.
func (s *shipper) reclaim(ctx context.Context) error {
	if !s.taken(ctx) {
		return s.claim(ctx)
	}
	// The position that the database has is not of this journal.
	s.begin = s.node.At
	if s.w.o.Now().Sub(s.claimed) < cloneTime {
		s.w.o.Log.Error("another process writes as this one: its disk is a copy of this one's, or it uses the same state directory; this one gets a new identity", "instance", s.node.Instance)
		if err := s.newInstance(s.begin); err != nil {
			return err
		}
	}
	return s.claim(ctx)
}

// taken reports whether the node is another process's.
func (s *shipper) taken(ctx context.Context) bool {
	nodes, err := s.db.Nodes(ctx)
	if err != nil {
		return false
	}
	for _, n := range nodes {
		if n.Instance == s.node.Instance {
			return n.Boot != s.node.Boot
		}
	}
	return false
}

func (s *shipper) skipTo(ctx context.Context, at store.Position) error {
	if _, err := s.db.Ship(ctx, s.node, s.node.At, at, &store.Batch{}); err != nil {
		return err
	}
	s.node.At = at
	return nil
}

// ship writes records and the position after them. What the database refuses is narrowed
// down to single records, which are set aside and counted.
func (s *shipper) ship(ctx context.Context, records []journal.Record, end store.Position, until int64) error {
	b, bad := s.decode(records)
	n := s.node
	now := s.w.o.Now()
	n.Seen, n.Shipped = store.Millis(now), until
	began := time.Now()
	failpoint.Reach("ship")
	done, err := s.db.Ship(ctx, n, s.node.At, end, b)
	var refused *store.RefusedError
	switch {
	case errors.As(err, &refused) && len(records) > 1:
		mid := len(records) / 2
		if err := s.ship(ctx, records[:mid], store.Position(records[mid-1].End), s.node.Shipped); err != nil {
			return err
		}
		return s.ship(ctx, records[mid:], end, until)
	case errors.As(err, &refused) && len(records) == 1:
		s.setAside(records[0], refused)
		return s.ship(ctx, nil, end, until)
	case err != nil:
		return err
	}
	failpoint.Reach("committed")
	s.node.At, s.node.Shipped = end, until
	for _, r := range bad {
		s.setAside(r, errors.New("it cannot be read, or is more than a day ahead of the clock"))
	}
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	s.w.stats.Shipped += int64(done.Rows)
	s.w.stats.Late += int64(done.Late)
	s.w.stats.ShippedUntil = store.Time(until)
	if len(s.w.batches) < 1000 && len(records) > 0 {
		s.w.batches = append(s.w.batches, time.Since(began).Seconds())
	}
	return nil
}

// decode makes a batch of records.
func (s *shipper) decode(records []journal.Record) (b *store.Batch, bad []journal.Record) {
	b = &store.Batch{}
	latest := store.Millis(s.w.o.Now().Add(maxAhead))
	for _, r := range records {
		var err error
		switch r.Kind {
		case kindRow:
			var row store.Row
			if err = json.Unmarshal(r.Data, &row); err == nil && row.Millis > latest {
				err = errors.New("ahead")
			}
			if err == nil {
				b.Rows = append(b.Rows, row)
			}
		case kindFacts:
			var facts store.Batch
			if err = json.Unmarshal(r.Data, &facts); err == nil {
				b.Policies = append(b.Policies, facts.Policies...)
				b.Selectors = append(b.Selectors, facts.Selectors...)
				b.Records = append(b.Records, facts.Records...)
			}
		case kindLosses:
			var losses []store.Loss
			if err = json.Unmarshal(r.Data, &losses); err == nil {
				b.Losses = append(b.Losses, losses...)
			}
		}
		if err != nil {
			bad = append(bad, r)
		}
	}
	return b, bad
}

// setAside counts a row that no database takes, and keeps it for a person to look at.
func (s *shipper) setAside(r journal.Record, why error) {
	if r.Kind == kindRow {
		s.w.Lose(store.LossBad, 1)
	}
	s.w.o.Log.Error("a row of the journal cannot be stored", "error", why.Error())
	path := filepath.Join(s.w.o.Dir, "bad.jsonl")
	if info, err := os.Stat(path); err == nil && info.Size() > maxBadBytes {
		return
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640)
	if err != nil {
		return
	}
	defer f.Close()
	f.Write(append(r.Data, '\n'))
}
