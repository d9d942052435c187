package server

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"postseal/internal/app/history"
	"postseal/server/web"
	"postseal/server/web/ui"
	"postseal/store"
)

// The bounds of the stream for the page Live (web.Route.Stream bounds its viewers): the pause between two frames, different
// views, frames that wait for a viewer, frames and bytes that a viewer can resume from, verdicts of
// one frame, and how long one connection lasts before the browser asks again.
const (
	framePause   = 250 * time.Millisecond
	maxViews     = 32
	waitFrames   = 16
	ringFrames   = 2000
	ringBytes    = 2 << 20
	frameRows    = 200
	streamLasts  = 10 * time.Minute
	viewLingers  = time.Minute // that a view without viewers keeps its frames
	retryMillis  = 3000
	streamWrites = 30 * time.Second
	staggers     = 16 // groups of viewers that write a frame one after another
	staggerStep  = 8 * time.Millisecond
)

// streams are the views of the page Live that are watched. Each frame is encoded once for all
// viewers of a view. A viewer that is too slow loses frames, and is told so; mail never waits.
type streams struct {
	now     func() time.Time
	mu      sync.Mutex
	views   map[string]*liveView
	n       atomic.Int32 // views, so that nothing is locked without viewers
	closed  bool
	viewers int
	newest  newest
}

// liveView is one filter with its frames.
type liveView struct {
	query *store.Query
	fold  bool // accepted mail and repeats share a row
	began int64

	rows    []store.Row                 // of the next frame
	counts  [len(store.HourActions)]int // of all mail: the figures of the page are
	timer   *time.Timer                 // of the next frame; nil while nothing is to be sent
	seq     int64                       // of the last frame: begins with the time, so that it grows from one daemon to the next
	sent    int64                       // of the last frame that viewers have
	kept    int64                       // the number of the last verdict that is in one of those, if the search finds it
	ring    []encodedFrame
	size    int
	viewers map[*watcher]bool
	left    time.Time // when the last viewer left
}

type encodedFrame struct {
	seq  int64
	data []byte
}

// watcher is one connection.
type watcher struct {
	frames chan encodedFrame
	missed atomic.Int64
	after  time.Duration // that it writes a frame later than the first: a hundred writes at once would hold up mail
}

func newStreams(now func() time.Time) *streams {
	return &streams{now: now, views: map[string]*liveView{}, newest: newest{began: now().UnixMilli(), seq: now().UnixMilli()}}
}

func (s *streams) watched() bool { return s.n.Load() > 0 }

// show takes a verdict for the next frame of each view that finds it. It never waits for a viewer.
func (s *streams) show(r *store.Row) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.newest.add(r)
	for _, v := range s.views {
		if i := slices.Index(store.HourActions[:], r.Applied); i >= 0 {
			v.counts[i]++
		}
		if len(v.rows) < frameRows && v.query.Match(r) {
			v.rows = append(v.rows, *r)
		}
		if v.timer == nil {
			v.timer = time.AfterFunc(framePause, func() { s.flush(v) })
		}
	}
}

// flush sends the frame of a view that is due. Its timer is set until the frame is sent, so a view
// has one flush at a time.
func (s *streams) flush(v *liveView) {
	s.mu.Lock()
	rows, counted := v.rows, v.counts
	v.rows, v.counts = nil, [len(store.HourActions)]int{}
	v.seq++
	seq, kept := v.seq, s.newest.seq
	s.mu.Unlock()
	data, err := v.encode(seq, s.now(), rows, counted) // not under the lock, which show waits for
	s.mu.Lock()
	defer s.mu.Unlock()
	v.timer = nil
	if s.closed || err != nil {
		return
	}
	v.kept = kept
	v.keep(encodedFrame{seq, data})
	switch {
	case v.counts != [len(store.HourActions)]int{} || len(v.rows) > 0:
		v.timer = time.AfterFunc(framePause, func() { s.flush(v) })
	case len(v.viewers) == 0 && s.now().Sub(v.left) > viewLingers:
		s.drop(v)
	}
}

// encode returns the JSON of a frame.
func (v *liveView) encode(seq int64, at time.Time, rows []store.Row, counted [len(store.HourActions)]int) ([]byte, error) {
	verdicts := make([]history.Verdict, 0, len(rows))
	for i := range slices.Backward(rows) { // the newest first, as on the page
		verdicts = append(verdicts, history.FromRow(&rows[i]))
	}
	counts := map[string]int{}
	for i, n := range counted {
		if n > 0 {
			counts[store.HourActions[i]] = n
		}
	}
	return json.Marshal(ui.NewFrame(seq, at, counts, verdicts, v.fold))
}

// drop removes a view.
func (s *streams) drop(v *liveView) {
	maps.DeleteFunc(s.views, func(_ string, x *liveView) bool { return x == v })
	s.n.Store(int32(len(s.views)))
}

// keep puts a frame into the ring and gives it to the viewers.
func (v *liveView) keep(f encodedFrame) {
	v.ring, v.size, v.sent = append(v.ring, f), v.size+len(f.data), f.seq
	for len(v.ring) > ringFrames || v.size > ringBytes && len(v.ring) > 1 {
		v.size -= len(v.ring[0].data)
		v.ring = slices.Delete(v.ring, 0, 1)
	}
	for w := range v.viewers {
		select {
		case w.frames <- f:
		default:
			w.missed.Add(1)
		}
	}
}

// position is where a viewer continues: after the frame that it saw last, or after the last verdict of
// the page that it shows. The zero position is now.
type position struct{ frame, verdict int64 }

// gap says what a viewer has missed.
type gap struct {
	Missed int64  `json:"missed"` // how many; 0 if that is not known
	Of     string `json:"of"`     // frames or verdicts
}

// follow adds a viewer, with the frames that it has not seen. missing is nil if they are complete.
func (s *streams) follow(key string, q *store.Query, fold bool, at position) (w *watcher, old []encodedFrame, missing *gap, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.views[key]
	if s.closed || v == nil && len(s.views) >= maxViews && !s.evict() {
		return nil, nil, nil, &web.Refusal{Status: http.StatusServiceUnavailable, Detail: "too many clients follow already"}
	}
	if v == nil {
		v = &liveView{query: q, fold: fold, began: s.now().UnixMilli(), kept: s.newest.seq, viewers: map[*watcher]bool{}}
		v.seq, v.sent = v.began, v.began
		s.views[key] = v
		s.n.Store(int32(len(s.views)))
	}
	w = &watcher{frames: make(chan encodedFrame, waitFrames), after: time.Duration(s.viewers%staggers) * staggerStep}
	v.viewers[w] = true
	s.viewers++
	switch {
	case at.frame > 0:
		old, missing = v.after(at.frame)
		return w, old, missing, nil
	case at.verdict > 0:
		f, missing, err := s.since(v, at.verdict)
		if err != nil {
			return w, nil, &gap{Of: "verdicts"}, nil
		}
		return w, []encodedFrame{f}, missing, nil
	}
	return w, nil, nil, nil
}

// after returns the frames after one that a viewer saw.
func (v *liveView) after(seen int64) (list []encodedFrame, missing *gap) {
	i := slices.IndexFunc(v.ring, func(f encodedFrame) bool { return f.seq > seen })
	switch {
	case seen == v.sent:
		return nil, nil
	case i < 0 || seen < v.began:
		return nil, &gap{Of: "frames"}
	case v.ring[i].seq != seen+1:
		missing = &gap{v.ring[i].seq - seen - 1, "frames"}
	}
	return slices.Clone(v.ring[i:]), missing
}

// since returns a frame with the verdicts after the last one of a page, up to those that come in the
// next frame.
func (s *streams) since(v *liveView, seen int64) (f encodedFrame, missing *gap, err error) {
	if v.timer == nil {
		v.kept = s.newest.seq // nothing waits for a frame
	}
	var rows []store.Row
	var counts [len(store.HourActions)]int
	all, missing := s.newest.between(seen, v.kept)
	for i := range all {
		if k := slices.Index(store.HourActions[:], all[i].Applied); k >= 0 {
			counts[k]++
		}
		if v.query.Match(&all[i]) {
			rows = append(rows, all[i])
		}
	}
	data, err := v.encode(v.sent, s.now(), rows[max(0, len(rows)-frameRows):], counts)
	return encodedFrame{v.sent, data}, missing, err
}

// due waits until the frames of a view hold the verdicts of a page: what is on the page may still wait
// for its frame.
func (s *streams) due(ctx context.Context, key string, seen int64) {
	for range 10 {
		s.mu.Lock()
		v := s.views[key]
		ready := v == nil || v.timer == nil || v.kept >= seen
		s.mu.Unlock()
		if ready || ctx.Err() != nil {
			return
		}
		time.Sleep(framePause / 5)
	}
}

// evict makes room for a view: one without viewers is removed.
func (s *streams) evict() bool {
	for _, v := range s.views {
		if len(v.viewers) == 0 {
			s.drop(v)
			return true
		}
	}
	return false
}

func (s *streams) leave(key string, w *watcher) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if v := s.views[key]; v != nil && v.viewers[w] {
		delete(v.viewers, w)
		v.left = s.now()
		s.viewers--
	}
}

// close ends all streams.
func (s *streams) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, v := range s.views {
		if v.timer != nil {
			v.timer.Stop()
		}
		for w := range v.viewers {
			close(w.frames)
		}
		clear(v.viewers)
	}
}

// stream answers GET /v1/live: server-sent events, four frames per second at most.
func (h *keeper) stream(rw http.ResponseWriter, r *http.Request) error {
	if err := known(r, "q", "show", "after", "from"); err != nil {
		return err
	}
	show := r.URL.Query().Get("show")
	terms, ok := ui.ShowTerms(show)
	if !ok {
		return badRequest("show is not one of exceptions, all, reject, quarantine, defer")
	}
	text := r.URL.Query().Get("q") + terms
	q, err := store.ParseQuery(text, h.now(), h.key)
	var wrong *store.QueryError
	if errors.As(err, &wrong) {
		return badRequest("q: %s", wrong.Error())
	} else if err != nil {
		return err
	}
	resume := cmp.Or(r.Header.Get("Last-Event-ID"), r.URL.Query().Get("after")) // of a tab that takes over from another
	var at position
	at.frame, _ = strconv.ParseInt(resume, 10, 64)                      //nolint:errcheck // not a number: from now on
	at.verdict, _ = strconv.ParseInt(r.URL.Query().Get("from"), 10, 64) //nolint:errcheck // likewise
	key := show + " " + text
	if at.frame <= 0 && at.verdict > 0 {
		h.live.streams.due(r.Context(), key, at.verdict)
	}
	w, old, missing, err := h.live.streams.follow(key, q, show == "" || show == "exceptions" || q.Fold, at)
	if err != nil {
		return err
	}
	defer h.live.streams.leave(key, w)
	rw.Header().Set("Content-Type", "text/event-stream")
	rw.Header().Set("X-Accel-Buffering", "no") // nginx passes each frame on at once
	events := &events{rw: rw, control: http.NewResponseController(rw)}
	events.write(fmt.Sprintf("retry: %d\n\n", retryMillis))
	if missing != nil {
		events.gap(missing)
	}
	for _, f := range old {
		events.frame(f)
	}
	events.run(r, w)
	return nil
}

// events writes server-sent events. After an error it writes no more.
type events struct {
	rw      http.ResponseWriter
	control *http.ResponseController
	err     error
}

func (e *events) run(r *http.Request, w *watcher) {
	tick, end := time.NewTicker(streamTick), time.NewTimer(streamLasts)
	defer tick.Stop()
	defer end.Stop()
	for e.err == nil {
		select {
		case f, open := <-w.frames:
			if !open {
				return
			}
			time.Sleep(w.after)
			e.frame(f)
			if n := w.missed.Swap(0); n > 0 {
				e.gap(&gap{n, "frames"})
			}
		case <-tick.C:
			e.write(": still here\n\n")
		case <-end.C: // the browser comes back, and is asked who it is again
			return
		case <-r.Context().Done():
			return
		}
	}
}

func (e *events) frame(f encodedFrame) { e.write(fmt.Sprintf("id: %d\ndata: %s\n\n", f.seq, f.data)) }

func (e *events) gap(g *gap) {
	e.write(fmt.Sprintf("event: gap\ndata: {\"missed\":%d,\"of\":%q}\n\n", g.Missed, g.Of))
}

func (e *events) write(s string) {
	if e.err != nil {
		return
	}
	if err := e.control.SetWriteDeadline(time.Now().Add(streamWrites)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		e.err = err
		return
	}
	if _, e.err = e.rw.Write([]byte(s)); e.err == nil {
		e.err = e.control.Flush()
	}
}
