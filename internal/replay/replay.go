// Package replay verifies the messages of an archive again, each by the clock of its
// receipt, and says what several policies would have done to it.
package replay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"postseal"
	"postseal/internal/mailbox"
	"postseal/internal/received"
	"postseal/message"
)

// Policy is one that is tried.
type Policy struct {
	Name   string
	Policy postseal.Policy
}

// Options say what to verify, and how.
type Options struct {
	Verifier *postseal.Verifier // its decision is not used
	Policies []Policy
	// ReceivedBy is the host whose Received field gives envelope and time. Without it SPF is
	// skipped, and the topmost Received field gives the time.
	ReceivedBy string
	AuthservID string    // of earlier Authentication-Results, beside ReceivedBy
	Since      time.Time // older messages are passed over
	Now        time.Time // the clock of messages whose time of receipt is not known
	// Unchecked are clients whose mail passes unchecked.
	Unchecked          func(netip.Addr) bool
	CheckAuthenticated bool
	Done               func(name string) bool // by an earlier run; nil is none
	Workers            int                    // default: the processors
	// Encode is called by the workers for each message that is verified; Result.Line keeps
	// what it returns.
	Encode func(*postseal.Report, *Record) ([]byte, error)
}

// Outcome is what became of one message of the archive.
type Outcome string

// The outcomes. All but Verified and Broken are passed over.
const (
	Verified  Outcome = "verified"
	Broken    Outcome = "broken"    // no message, or not readable
	Old       Outcome = "old"       // from before Options.Since
	Unchecked Outcome = "unchecked" // of our own users and networks
	Elsewhere Outcome = "elsewhere" // ReceivedBy did not take it from outside, or does not say so
	Done      Outcome = "done"      // by an earlier run
)

// Result is one message. Record and Report are nil unless it is verified.
type Result struct {
	Name    string
	Size    int64 // octets in the archive
	Outcome Outcome
	Err     error // why it is broken, or from elsewhere
	Record  *Record
	Report  *postseal.Report
	Line    []byte
}

// Bounds of what is read ahead of the slowest message.
const (
	windowPerWorker = 8
	windowBytes     = 128 << 20
)

// job is a message on its way through a worker.
type job struct {
	message mailbox.Message
	weight  int64
	result  chan Result
}

// Run verifies messages on all workers and gives the results in the order of the messages.
// It ends early, without an error, when ctx ends: messages in flight are then dropped.
func Run(ctx context.Context, messages iter.Seq[mailbox.Message], o Options) iter.Seq[Result] {
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	return func(yield func(Result) bool) {
		ctx, cancel := context.WithCancel(ctx)
		room := semaphore.NewWeighted(windowBytes)
		window := windowPerWorker * o.Workers
		jobs, order := make(chan *job, window), make(chan *job, window)
		var all sync.WaitGroup
		defer all.Wait()
		defer cancel()
		all.Go(func() { feed(ctx, messages, room, jobs, order) })
		for range o.Workers {
			all.Go(func() {
				w := worker{Options: &o}
				for j := range jobs {
					r := w.verify(ctx, &j.message)
					j.message.Release()
					j.result <- r
				}
			})
		}
		for j := range order {
			r := <-j.result
			room.Release(j.weight)
			if ctx.Err() != nil || !yield(r) {
				return
			}
		}
	}
}

// feed reads the archive as far ahead as there is room.
func feed(ctx context.Context, messages iter.Seq[mailbox.Message], room *semaphore.Weighted, jobs, order chan<- *job) {
	defer close(order)
	defer close(jobs)
	for m := range messages {
		j := &job{message: m, weight: min(int64(len(m.Raw)), windowBytes), result: make(chan Result, 1)}
		if room.Acquire(ctx, j.weight) != nil {
			return
		}
		select {
		case jobs <- j:
		case <-ctx.Done():
			return
		}
		select {
		case order <- j:
		case <-ctx.Done():
			return
		}
	}
}

// worker verifies one message after the other.
type worker struct {
	*Options
	header message.Header // of the message at hand
	text   []byte         // the same with CRLF line ends, when it has others
}

// verify comes to the result of one message.
func (w *worker) verify(ctx context.Context, m *mailbox.Message) Result {
	r := Result{Name: m.Name, Size: m.Size}
	switch {
	case w.Done != nil && w.Done(m.Name):
		r.Outcome = Done
		return r
	case m.Err != nil:
		r.Outcome, r.Err = Broken, m.Err
		return r
	}
	text, h := w.crlf(m.Raw), &w.header
	if err := readHeader(h, text); err != nil {
		r.Outcome, r.Err = Broken, err
		return r
	}
	d, err := w.delivery(h, m.Stored)
	switch {
	case err != nil:
		r.Outcome, r.Err = Elsewhere, err
	case d.Time.Before(w.Since):
		r.Outcome = Old
	case w.isUnchecked(&d):
		r.Outcome = Unchecked
	default:
		w.verdict(ctx, m, text, h, &d, &r)
	}
	return r
}

// keptText is how much of the room for a text is kept for the next message.
const keptText = 1 << 20

// crlf is message.CRLF in the room of w.text.
func (w *worker) crlf(raw []byte) []byte {
	if cap(w.text) > keptText {
		w.text = nil
	}
	w.text = message.AppendCRLF(w.text[:0], raw)
	return w.text
}

var errNoHeader = errors.New("has no header fields, so it is no message")

// readHeader reads the header section into h. One over a limit is the verdict's to tell.
func readHeader(h *message.Header, text []byte) error {
	h.Reset()
	var limit *message.LimitError
	err := message.Stream(peek{h}, bytes.NewReader(text), message.Limits{})
	if err != nil && !errors.Is(err, errPeeked) && !errors.As(err, &limit) {
		return err
	}
	if h.Len() == 0 && limit == nil {
		return errNoHeader
	}
	return nil
}

var errPeeked = errors.New("header section read")

// peek is a Sink that keeps the header section and stops behind it.
type peek struct{ header *message.Header }

// Field implements message.Sink.
func (p peek) Field(f message.Field) error { p.header.Add(f); return nil }

// EndHeader implements message.Sink.
func (p peek) EndHeader() error { return errPeeked }

// Write implements message.Sink.
func (p peek) Write([]byte) (int, error) { return 0, errPeeked }

// delivery is how and when the message came. Without ReceivedBy only the time is known.
func (o *Options) delivery(h *message.Header, stored time.Time) (received.Delivery, error) {
	d := received.Delivery{Field: -1}
	if o.ReceivedBy != "" {
		var err error
		if d, err = received.By(h, o.ReceivedBy); err != nil {
			return d, err
		}
	} else if i := h.Index("Received"); i >= 0 {
		d.Time = received.Date(h.At(i).Value())
	}
	for _, t := range []time.Time{stored, o.Now} {
		if d.Time.IsZero() {
			d.Time = t
		}
	}
	return d, nil
}

// isUnchecked reports whether the daemon lets the message pass unchecked: our own networks,
// and users who authenticated, as the protocol word says (RFC 3848).
func (o *Options) isUnchecked(d *received.Delivery) bool {
	switch strings.ToUpper(d.With) {
	case "ESMTPA", "ESMTPSA", "UTF8SMTPA", "UTF8SMTPSA":
		return !o.CheckAuthenticated
	}
	return o.Unchecked != nil && d.IP.IsValid() && o.Unchecked(d.IP)
}

// verdict verifies the message as it was when it came: without the fields that were added
// since its receipt, the Received field of ReceivedBy included.
func (o *Options) verdict(ctx context.Context, m *mailbox.Message, text []byte, h *message.Header, d *received.Delivery, r *Result) {
	report, err := o.run(ctx, text, h, d)
	if err == nil && brokenBody(report) {
		for _, other := range m.Unquoted() {
			reading := message.CRLF(other)
			if again, err := o.run(ctx, reading, h, d); err == nil && passes(again) > passes(report) {
				report, text = again, reading
			}
		}
	}
	if err != nil {
		r.Outcome, r.Err = Broken, err
		return
	}
	report.File = m.Name
	o.diagnose(ctx, report, text)
	r.Outcome, r.Report = Verified, report
	r.Record = o.record(report, h, d)
	report.Decision = r.Record.Policies[o.Policies[0].Name]
	if o.Encode != nil {
		r.Line, r.Err = o.Encode(report, r.Record)
	}
}

func (o *Options) run(ctx context.Context, text []byte, h *message.Header, d *received.Delivery) (*postseal.Report, error) {
	var conn postseal.Conn
	if d.IP.IsValid() {
		conn.Remote = netip.AddrPortFrom(d.IP, 0)
	}
	s := o.Verifier.Session(ctx, conn)
	s.Helo(d.From)
	s.At(d.Time)
	return s.Verify(ctx, d.ReversePath, nil, bytes.NewReader(below(text, h, d.Field)))
}

// below is the message without its first fields, up to the one at index last.
func below(text []byte, h *message.Header, last int) []byte {
	if last < 0 || last+1 >= h.Len() {
		return text
	}
	rest := text
	if bytes.HasPrefix(rest, []byte("From ")) || bytes.HasPrefix(rest, []byte(">From ")) { // of an mbox
		rest = rest[bytes.IndexByte(rest, '\n')+1:]
	}
	for i := range last + 1 {
		rest = rest[min(len(rest), len(h.At(i).Raw)+len("\r\n")):]
	}
	if !bytes.HasPrefix(rest, h.At(last+1).Raw) {
		return text
	}
	return rest
}

// maxDiagnosed bounds the messages whose broken signatures are looked into.
const maxDiagnosed = 1 << 20

func (o *Options) diagnose(ctx context.Context, r *postseal.Report, text []byte) {
	if r.DMARC.Result != "fail" || len(text) > maxDiagnosed {
		return
	}
	if _, body, ok := bytes.Cut(text, []byte("\r\n\r\n")); ok {
		o.Verifier.Diagnose(ctx, r, body)
	}
}

// String names the result for a list of what went wrong.
func (r Result) String() string { return fmt.Sprintf("%s: %v", r.Name, r.Err) }
