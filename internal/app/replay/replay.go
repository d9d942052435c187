// Package replay verifies the messages of an archive again, each as of its time of receipt, and
// reports what several policies would have done to it.
package replay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"net/netip"
	"runtime/debug"
	"time"

	"postseal"
	"postseal/internal/app/batch"
	"postseal/internal/app/clients"
	"postseal/internal/app/mailbox"
	"postseal/internal/app/received"
	"postseal/internal/core/attached"
	"postseal/message"
)

// Policy is a policy to test.
type Policy struct {
	Name   string
	Policy postseal.Policy
}

// Options say what to verify, and how.
type Options struct {
	Verifier *postseal.Verifier // its decision is not used
	Policies []Policy
	// ReceivedBy is the host whose Received field gives envelope and time. Without it, SPF is
	// skipped, and the topmost Received field gives the time.
	ReceivedBy string
	AuthservID string                 // of earlier Authentication-Results, in addition to ReceivedBy
	Since      time.Time              // older messages are skipped
	Now        time.Time              // the time for messages whose time of receipt is unknown
	Clients    *clients.Rules         // whose mail is checked; nil checks all
	Done       func(name string) bool // by an earlier run; nil for none
	Workers    int                    // default: the number of processors
	// The workers call Encode for each message that is verified; Result.Line holds what it
	// returns.
	Encode func(*postseal.Report, *Record) ([]byte, error)
	// The workers call Keep for each message that is verified. It must not retain the report.
	Keep func(*postseal.Report, *Record)
	// Shared says that the process does other work too: its garbage collector is left as it is.
	Shared bool
}

// Outcome says what happened to one message of the archive.
type Outcome string

// The outcomes. All but Verified and Broken are skipped.
const (
	Verified  Outcome = "verified"
	Broken    Outcome = "broken"    // not a message, or not readable
	Old       Outcome = "old"       // from before Options.Since
	Unchecked Outcome = "unchecked" // of our own users and networks
	Elsewhere Outcome = "elsewhere" // ReceivedBy did not receive it from outside, or does not say so
	Done      Outcome = "done"      // by an earlier run
)

// Result is one message. Record and Line are nil unless it is verified.
type Result struct {
	Name    string
	Size    int64 // octets in the archive
	Outcome Outcome
	// Treatment says why the message is Unchecked.
	Treatment clients.Treatment
	Err       error // why it is broken, or from elsewhere
	Record    *Record
	Line      []byte
}

// Limits on messages in flight.
const (
	windowMessages = 512     // read or verified before the slowest message
	windowBytes    = 4 << 20 // of messages waiting for a worker
)

// gcPercent makes the garbage collector run less often, because most of what replay allocates is
// short-lived: at 100 a replay of messages of 10 KB takes half as much CPU time again. It applies up to
// softMemory, so that memory does not grow with the archive; a GOMEMLIMIT of the user counts instead.
const (
	gcPercent  = 400
	softMemory = 28 << 20
)

// spareCollector sets both and returns what undoes it.
func spareCollector() (undo func()) {
	percent, limit := debug.SetGCPercent(gcPercent), debug.SetMemoryLimit(-1)
	if limit == math.MaxInt64 {
		debug.SetMemoryLimit(softMemory)
	}
	return func() {
		debug.SetGCPercent(percent)
		debug.SetMemoryLimit(limit)
	}
}

// Run verifies messages on all workers and yields the results in the order of the messages. If
// ctx ends, it ends early without an error, and drops messages in flight.
func Run(ctx context.Context, messages iter.Seq[mailbox.Message], o Options) iter.Seq[Result] {
	flight := batch.Options[mailbox.Message]{Workers: o.Workers, Ahead: max(windowMessages, 32*o.Workers),
		Size: func(m *mailbox.Message) int64 { return int64(cap(m.Raw)) }, MaxSize: windowBytes}
	results := batch.Run(ctx, messages, flight, func() func(context.Context, *mailbox.Message, *Result) {
		w := worker{Options: &o}
		return w.verify
	})
	return func(yield func(Result) bool) {
		if !o.Shared {
			defer spareCollector()()
		}
		results(yield)
	}
}

// worker verifies one message after the other.
type worker struct {
	*Options
	header message.Header // of the current message
	text   []byte         // the same with CRLF line endings, if it has others
}

// verify returns the result of one message.
func (w *worker) verify(ctx context.Context, m *mailbox.Message, r *Result) {
	defer m.Release()
	r.Name, r.Size = m.Name, m.Size
	if w.Done != nil && w.Done(m.Name) {
		r.Outcome = Done
		return
	}
	m.Load(ctx)
	if r.Size, r.Err = m.Size, m.Err; r.Err != nil {
		r.Outcome = Broken
		return
	}
	w.read(ctx, m, r)
	if cap(w.text) > keptText {
		w.text = nil
	}
}

// read returns the result of a message that has been read.
func (w *worker) read(ctx context.Context, m *mailbox.Message, r *Result) {
	text := w.crlf(m.Raw)
	body, err := readHeader(&w.header, text)
	if err != nil {
		r.Outcome, r.Err = Broken, err
		return
	}
	d, err := w.delivery(&w.header, m)
	switch {
	case err != nil:
		r.Outcome, r.Err = Elsewhere, err
	case d.Time.Before(w.Since):
		r.Outcome = Old
	default:
		if r.Treatment = w.judge(&d); r.Treatment.Unchecked() {
			r.Outcome = Unchecked
			return
		}
		w.verdict(ctx, m, body, &d, r)
	}
}

// keptText is how much of the text buffer is kept for the next message.
const keptText = 1 << 20

// crlf is message.CRLF with the buffer w.text.
func (w *worker) crlf(raw []byte) []byte {
	if message.HasCRLF(raw) {
		return raw
	}
	w.text = message.AppendCRLF(w.text[:0], raw)
	return w.text
}

var errNoHeader = errors.New("has no header fields, so it is not a message")

// readHeader reads the header section of text into h, and returns the rest. It has no limit;
// the verdict applies its own.
func readHeader(h *message.Header, text []byte) (body []byte, err error) {
	*h = message.Header{}
	whole := message.Limits{HeaderBytes: len(text) + 2, Fields: len(text) + 1, FieldBytes: len(text)}
	s := message.NewSplitter(mailbox.HeaderSink{Header: h}, whole)
	n, err := s.Write(text)
	if err == nil {
		err = s.Close()
	}
	switch {
	case err != nil && !errors.Is(err, mailbox.ErrHeaderEnd):
		return nil, err
	case h.Len() == 0:
		return nil, errNoHeader
	}
	return text[n:], nil
}

// delivery says how and when the message arrived. Without ReceivedBy, only the time is known.
func (o *Options) delivery(h *message.Header, m *mailbox.Message) (received.Delivery, error) {
	d := received.Delivery{Field: -1, PathSource: received.Unknown}
	if o.ReceivedBy != "" {
		var err error
		if d, err = received.By(h, o.ReceivedBy, m.Line); err != nil {
			return d, err
		}
	} else if i := h.Index("Received"); i >= 0 {
		d.Time = received.Date(h.At(i).Value())
	}
	for _, t := range []time.Time{m.Stored, o.Now} {
		if d.Time.IsZero() {
			d.Time = t
		}
	}
	return d, nil
}

// judge decides as the listeners do, by the host's own Received field. If one of our relays
// forwarded the message, it sets d to the client that the relay's trace fields name.
func (w *worker) judge(d *received.Delivery) clients.Treatment {
	if w.Clients == nil || d.Field < 0 {
		return clients.Checked
	}
	t := w.Clients.Judge(clients.Client{IP: d.IP, Authenticated: d.Authenticated()})
	if t != clients.Relayed {
		return t
	}
	origin, t := w.Clients.Relayed(d.IP, &w.header, d.Field+1, "")
	d.IP, d.From, d.Relays, d.Results = origin.Conn.Remote.Addr(), origin.Helo, origin.Conn.Relays, origin.Conn.Results
	return t
}

// verdict verifies the message as it was when it arrived: without the fields that were added
// since its receipt, including the Received field of ReceivedBy.
func (w *worker) verdict(ctx context.Context, m *mailbox.Message, body []byte, d *received.Delivery, r *Result) {
	report, err := w.run(ctx, body, d)
	if err == nil && brokenBody(report) {
		for _, other := range m.Unquoted() {
			_, reading, _ := bytes.Cut(message.CRLF(other), []byte("\r\n\r\n"))
			if again, err := w.run(ctx, reading, d); err == nil && passes(again) > passes(report) {
				report, body = again, reading
			}
		}
	}
	if err != nil {
		r.Outcome, r.Err = Broken, err
		return
	}
	from := attached.Source{File: m.Name, Envelope: "none", Sender: "none"}
	if w.ReceivedBy != "" {
		from.Envelope, from.Sender = "received", string(d.PathSource)
	}
	attached.SetSource(report, from)
	w.diagnose(ctx, report, body)
	r.Outcome, r.Record = Verified, w.record(report, &w.header, d)
	report.Decision = r.Record.Policies[0].Decision
	if w.Keep != nil {
		w.Keep(report, r.Record)
	}
	if w.Encode != nil {
		r.Line, r.Err = w.Encode(report, r.Record)
	}
}

// run returns the transaction of the message, with the fields below the one that d comes from.
func (w *worker) run(ctx context.Context, body []byte, d *received.Delivery) (*postseal.Report, error) {
	conn := postseal.Conn{Relays: d.Relays, Results: d.Results, UnknownSender: d.PathSource == received.Unknown}
	if d.IP.IsValid() {
		conn.Remote = netip.AddrPortFrom(d.IP, 0)
	}
	s := w.Verifier.Session(ctx, conn)
	s.Helo(d.From)
	s.At(d.Time)
	t := s.Mail(d.ReversePath)
	defer t.Abort()
	first := d.Field + 1
	if first == w.header.Len() {
		first = 0 // only what we added
	}
	for i := first; i < w.header.Len(); i++ {
		if err := t.Field(w.header.At(i)); err != nil {
			return nil, err
		}
	}
	if err := t.EndHeader(); err != nil {
		return nil, err
	}
	if _, err := t.Write(body); err != nil {
		return nil, err
	}
	return t.Finish(ctx)
}

// maxDiagnosed limits the messages whose broken signatures are diagnosed.
const maxDiagnosed = 1 << 20

func (o *Options) diagnose(ctx context.Context, r *postseal.Report, body []byte) {
	if r.DMARC.Code == "fail" && len(body) <= maxDiagnosed {
		o.Verifier.Diagnose(ctx, r, body)
	}
}

// String names the result, for a list of problems.
func (r Result) String() string { return fmt.Sprintf("%s: %v", r.Name, r.Err) }
