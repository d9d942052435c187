package report

import (
	"bufio"
	"compress/bzip2"
	"compress/gzip"
	"compress/zlib"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/text/transform"
)

// Reader finds and reads the reports of an input. It is safe for concurrent use if its
// functions are.
type Reader struct {
	Limits Limits
	// Record, if set, gets each record of an aggregate report as it is read. The report itself
	// follows and decides whether the record counts. An error ends Read.
	Record func(Record) error
	// Report gets each report once it has been read to its end. An error ends Read.
	Report func(*Report) error
	// Refused gets each report that is refused: the records since the last report are to be
	// dropped. An error ends Read.
	Refused func(*Refusal) error
}

// Result counts what Read found.
type Result struct {
	Reports int
	Refused int
	Mail    bool // the input is a mail; one without a report is ignored
}

// Read reads the reports of in, which is a document, an archive or a mail. What it is, its
// content says: names and media types are not trusted. The error is that of in, of ctx or of
// a function of the Reader. A refused report is not an error.
func (r *Reader) Read(ctx context.Context, name string, in io.Reader) (Result, error) {
	limits := r.Limits.withDefaults()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	x := &input{ctx: ctx, reader: r, limits: limits, left: limits.Total}
	x.timer = time.AfterFunc(limits.Time, func() { cancel(errTime) })
	defer x.timer.Stop()
	x.in = in
	err := x.unwrap(place{source: clean(name), name: name}, bufio.NewReader(x))
	if refusal := new(Refusal); errors.As(err, &refusal) {
		err = x.refuse(refusal)
	}
	return x.result, err
}

var errTime = errors.New("reading took too long")

// input is one call of Read.
type input struct {
	ctx     context.Context
	reader  *Reader
	limits  Limits
	result  Result
	in      io.Reader
	failed  error    // of in
	left    int64    // octets that may still be unpacked
	inner   *bounded // the innermost document
	records int      // that count
	timer   *time.Timer
	parts   int
}

// Read implements io.Reader on in, and keeps its error apart from those of archives and mails.
func (x *input) Read(b []byte) (int, error) {
	n, err := x.in.Read(b)
	if err != nil && err != io.EOF {
		x.failed = err
	}
	return n, err
}

// place is where a document lies in its input.
type place struct {
	source  string // for people
	name    string // file name, "" if there is none: dates and domain are taken from it if the document has none
	wraps   int
	mails   int
	inMail  bool     // text that is not a report is ignored
	charset string   // of the part of a mail, "" if none is named
	tails   *[]Fault // faults of the containers around it
}

// into is the place of something in p.
func (p place) into(name string) place {
	if name != "" {
		p.source += ", " + clean(name)
		p.name = name
	}
	return p
}

func (p place) refusal(f Fault, format string, args ...any) *Refusal {
	return &Refusal{Source: p.source, Fault: f, Detail: fmt.Sprintf(format, args...)}
}

func (x *input) refuse(e *Refusal) error {
	x.result.Refused++
	if x.reader.Refused == nil {
		return nil
	}
	return x.reader.Refused(e)
}

// found hands on a report that was read.
func (x *input) found(r *Report) error {
	x.result.Reports++
	if x.reader.Report == nil {
		return nil
	}
	return x.reader.Report(r)
}

// unwrap reads what in is. A *Refusal is the verdict on the document alone.
func (x *input) unwrap(p place, in *bufio.Reader) error {
	head, err := in.Peek(512)
	if err != nil && !errors.Is(err, io.EOF) && len(head) == 0 {
		return x.readError(p, err)
	}
	if order, ok := wide(head); ok {
		in = bufio.NewReader(transform.NewReader(in, order.NewDecoder()))
		head, _ = in.Peek(512)
	}
	kind := sniff(head)
	if kind == isUnknown {
		if n := blanks(head); sniff(head[n:]).wraps() { // some reporters begin with an empty line
			in.Discard(n) //nolint:errcheck // they were peeked
			kind = sniff(head[n:])
		}
	}
	if kind.wraps() {
		if p.wraps++; p.wraps > x.limits.Wrappings {
			return p.refusal(Nesting, "archives within archives: more than %d", x.limits.Wrappings)
		}
	}
	switch kind {
	case isGzip:
		return x.gzip(p, in)
	case isZlib:
		return x.zlib(p, in)
	case isZip:
		return x.zip(p, in)
	case isBzip2:
		return x.document(p, bzip2.NewReader(in))
	case isTar:
		return x.tar(p, in)
	case isBase64:
		return x.document(p, base64.NewDecoder(base64.StdEncoding, &alphabet{in: in}))
	case isUU:
		return x.document(p, newUUReader(in))
	case isXML:
		return x.aggregate(p, in)
	case isJSON:
		return x.tls(p, in)
	case isMail:
		if p.mails == 0 && isFeedback(head) {
			return x.failure(p, feedbackType, in)
		}
		x.result.Mail = x.result.Mail || p.source == p.name
		return x.mail(p, in)
	}
	return notAReport(p, head)
}

// notAReport says what was found instead of a report.
func notAReport(p place, head []byte) error {
	text := clean(string(head))
	switch name := foreign(head); {
	case name != "":
		return p.refusal(Damaged, "%s: it cannot be opened here; what is in it is not read", name)
	case len(head) == 0:
		return p.refusal(NotAReport, "empty")
	case len(head) < 64 && text != "":
		return p.refusal(NotAReport, "not a report: the reporter sent only %q", text)
	}
	return p.refusal(NotAReport, "not a report: neither XML nor JSON, an archive or a mail")
}

// readError turns the error of a container into a refusal; the errors of the input itself
// and of the context end Read.
func (x *input) readError(p place, err error) error {
	if cause := context.Cause(x.ctx); cause != nil {
		if errors.Is(cause, errTime) {
			return p.refusal(TimedOut, "reading took longer than %v", x.limits.Time)
		}
		return cause
	}
	if x.failed != nil {
		return x.failed
	}
	if refusal := new(Refusal); errors.As(err, &refusal) {
		return err
	}
	return p.refusal(Damaged, "what the report is packed in is damaged: %s", clean(err.Error()))
}

// gzip reads each member. Octets after the last one, which some reporters send, are a
// warning of the report.
func (x *input) gzip(p place, in *bufio.Reader) error {
	z, err := gzip.NewReader(in)
	if err != nil {
		return p.refusal(Damaged, "the gzip header is damaged")
	}
	z.Multistream(false)
	tails := new([]Fault)
	p.tails = tails
	return x.document(p, &members{z: z, in: in, tails: tails})
}

// members reads the members of a gzip file one after the other.
type members struct {
	z     *gzip.Reader
	in    *bufio.Reader
	tails *[]Fault
	done  bool
}

// Read implements io.Reader.
func (m *members) Read(b []byte) (int, error) {
	if m.done {
		return 0, io.EOF
	}
	n, err := m.z.Read(b)
	if err != io.EOF {
		return n, err
	}
	head, _ := m.in.Peek(2)
	if len(head) == 2 && head[0] == 0x1f && head[1] == 0x8b {
		if err := m.z.Reset(m.in); err == nil {
			m.z.Multistream(false)
			return n, nil
		}
	}
	if len(head) > 0 {
		*m.tails = append(*m.tails, TrailingData)
	}
	m.done = true
	return n, io.EOF
}

func (x *input) zlib(p place, in *bufio.Reader) error {
	z, err := zlib.NewReader(in)
	if err != nil {
		return p.refusal(Damaged, "the zlib header is damaged")
	}
	return x.document(p, z)
}

// document reads what a container holds, within its limits.
func (x *input) document(p place, in io.Reader) error {
	return x.unwrap(p, bufio.NewReader(x.bounded(p, in)))
}

func (x *input) bounded(p place, in io.Reader) *bounded {
	x.inner = &bounded{x: x, p: p, in: in, left: x.limits.Unpacked}
	return x.inner
}

// credit raises the bounds for a record that counts: a report of a million of them has hundreds of MiB,
// and is read in a stream.
func (x *input) credit() {
	more := max(x.limits.PerRecord, 0)
	x.inner.left, x.left = x.inner.left+more, x.left+more
	if x.records++; x.records%recordsPerTime == 0 {
		x.timer.Reset(x.limits.Time)
	}
}

// recordsPerTime is how many records begin Limits.Time again.
const recordsPerTime = 100_000

// bounded ends with a refusal when a document is larger than it may be, and with the error
// of the context.
type bounded struct {
	x    *input
	p    place
	in   io.Reader
	left int64
}

// Read implements io.Reader.
func (b *bounded) Read(buf []byte) (int, error) {
	if b.x.ctx.Err() != nil {
		return 0, b.x.readError(b.p, b.x.ctx.Err())
	}
	n, err := b.in.Read(buf)
	b.left -= int64(n)
	b.x.left -= int64(n)
	switch {
	case b.left < 0:
		return 0, b.p.refusal(TooLarge, "larger than %d MiB when unpacked", b.x.limits.Unpacked>>20)
	case b.x.left < 0:
		return 0, b.p.refusal(TooLarge, "the documents of this input are larger than %d MiB when unpacked", b.x.limits.Total>>20)
	}
	return n, err
}
