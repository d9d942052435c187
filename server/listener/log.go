package listener

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	"postseal"
	"postseal/arc"
)

// most limits each piece of untrusted text in a log line.
const most = 255

// VerdictMessage is the message of the one log line per mail.
const VerdictMessage = "verdict"

// Text returns untrusted text for the log, limited in length; the handler quotes it.
func Text(v any) string {
	if s, ok := v.(string); ok {
		return bounded(s)
	}
	return bounded(fmt.Sprint(v))
}

func bounded(s string) string {
	if len(s) > most {
		s = s[:most-3] + "..."
	}
	return s
}

// word returns untrusted text for a value that has its own syntax: everything except letters,
// digits, ".", "-" and "_" becomes "?".
func word(s string) string {
	b := []byte(s[:min(len(s), most)])
	for i, c := range b {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '.', c == '-', c == '_':
		default:
			b[i] = '?'
		}
	}
	return string(b)
}

// logVerdict writes the keys listed in docs/reference/logs.md. The queue id comes first, so the
// line can be found together with those of the MTA. It never contains a subject, and a local
// part only if the configuration allows it.
func (e *Engine) logVerdict(v Verdict) {
	r := v.Report
	d := &r.Decision
	handler := e.Log.Handler()
	if !handler.Enabled(context.Background(), slog.LevelInfo) {
		return
	}
	attrs := make([]slog.Attr, 0, 24)
	add := func(key, value string) { attrs = append(attrs, slog.String(key, bounded(value))) }
	add("qid", v.QueueID)
	add("ref", r.Ref)
	add("door", v.Listener)
	add("verdict", string(d.Action))
	add("applied", string(d.Applied))
	add("enforce", string(v.Snapshot.Config.Enforce))
	add("reason", string(d.Reason))
	add("from", authors(r))
	if v.Snapshot.LocalParts && r.ReversePath != "" {
		add("mfrom", r.ReversePath)
	} else {
		add("mfrom", domainOf(r.ReversePath))
	}
	if v.Snapshot.LocalParts {
		add("helo", r.Helo)
	} else {
		add("helo", r.Helo[strings.LastIndexByte(r.Helo, '@')+1:])
	}
	if ip := r.RemoteIP(); ip.IsValid() {
		add("ip", ip.String())
	}
	add("spf", spfWord(r))
	add("dkim", signatures(r))
	add("dmarc", string(r.DMARC.Code))
	if r.DMARC.Policy != "" {
		add("p", string(r.DMARC.Policy))
		add("policy", r.DMARC.PolicyDomain)
	}
	if r.ARC.Code != arc.None {
		add("arc", string(r.ARC.Code))
	}
	if r.IPRev != nil {
		add("iprev", string(r.IPRev.Code))
	}
	if d.Override != nil {
		add("override", string(d.Override.Type))
		add("why", d.Override.Comment)
	}
	if r.Stale > 0 {
		attrs = append(attrs, slog.Int("stale", r.Stale))
	}
	attrs = append(attrs, slog.Int("dns", r.Cost.DNSQueries), slog.Int64("bytes", r.Cost.Bytes), slog.Int64("ms", r.Cost.Micros/1000))
	// Without the source position, which Logger.LogAttrs looks up but no format shows.
	line := slog.NewRecord(time.Now(), slog.LevelInfo, VerdictMessage, 0)
	line.AddAttrs(attrs...)
	handler.Handle(context.Background(), line)
}

func authors(r *postseal.Report) string {
	names := make([]string, 0, 1)
	for _, d := range r.Author.Domains {
		names = append(names, string(d))
	}
	return strings.Join(names, ",")
}

// domainOf returns the domain of a reverse-path: "<>" for the null path, "?" without a domain,
// because it may then be only a local part.
func domainOf(reversePath string) string {
	if reversePath == "" {
		return "<>"
	}
	at := strings.LastIndexByte(reversePath, '@')
	if at < 0 {
		return "?"
	}
	return reversePath[at+1:]
}

func spfWord(r *postseal.Report) string {
	if len(r.SPF) == 0 {
		return "skipped"
	}
	if r.ReversePath == "" {
		return string(r.SPF[0].Code) + ":helo"
	}
	return string(r.SPF[0].Code)
}

// signatures is "pass:d/s,fail:d/s(reason)", "none" when there is none.
func signatures(r *postseal.Report) string {
	if len(r.DKIM) == 0 {
		return "none"
	}
	parts := make([]string, 0, len(r.DKIM))
	for _, s := range r.DKIM {
		part := string(s.Code) + ":" + word(s.Domain) + "/" + word(s.Selector)
		if s.Code != "pass" {
			part += "(" + strings.TrimPrefix(string(s.Reason), "dkim.") + ")"
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, ",")
}

// LogFormat is the format of log lines.
type LogFormat string

// The formats: key=value lines for people and grep; the same with sd-daemon(3) priorities and
// without a time, for the journal; JSON for programs.
const (
	LogText    LogFormat = "text"
	LogJournal LogFormat = "journal"
	LogJSON    LogFormat = "json"
)

// NewLogger writes one line per record to w.
func NewLogger(w io.Writer, format LogFormat, level slog.Leveler) *slog.Logger {
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: Printable}
	if format == LogJSON {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	options.ReplaceAttr = func(groups []string, a slog.Attr) slog.Attr {
		switch {
		case len(groups) > 0:
		case a.Key == slog.TimeKey && format == LogJournal:
			return slog.Attr{}
		case a.Key == slog.TimeKey:
			return slog.String(slog.TimeKey, a.Value.Time().UTC().Format(time.RFC3339Nano))
		case a.Key == slog.LevelKey && (format == LogJournal || a.Value.Any() == slog.LevelInfo):
			return slog.Attr{}
		case a.Key == slog.MessageKey && a.Value.String() == VerdictMessage:
			return slog.Attr{}
		}
		return Printable(groups, a)
	}
	if format != LogJournal {
		return slog.New(slog.NewTextHandler(w, options))
	}
	p := &priorities{}
	shared := &prefixed{w: w}
	for i, level := range []string{"<7>", "<6>", "<4>", "<3>"} {
		p.levels[i] = slog.NewTextHandler(prefixer{shared, level}, options)
	}
	return slog.New(p)
}

// Printable escapes DEL, the only control octet that slog's handlers write unescaped. It is for
// HandlerOptions.ReplaceAttr.
func Printable(_ []string, a slog.Attr) slog.Attr {
	text := ""
	switch a.Value.Kind() {
	case slog.KindString:
		text = a.Value.String()
	case slog.KindAny:
		if err, ok := a.Value.Any().(error); ok {
			text = err.Error()
		}
	}
	if strings.IndexByte(text, 0x7f) >= 0 {
		a.Value = slog.StringValue(strings.ReplaceAll(text, "\x7f", `\x7f`))
	}
	return a
}

// prefixed writes whole lines to w, one at a time.
type prefixed struct {
	mu sync.Mutex
	w  io.Writer
}

type prefixer struct {
	*prefixed
	prefix string
}

func (p prefixer) Write(line []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, err := p.w.Write(append([]byte(p.prefix), line...)); err != nil {
		return 0, err
	}
	return len(line), nil
}

// priorities chooses the handler for the level of a record: debug, info, warn, error.
type priorities struct{ levels [4]slog.Handler }

func (p *priorities) at(l slog.Level) slog.Handler {
	switch {
	case l < slog.LevelInfo:
		return p.levels[0]
	case l < slog.LevelWarn:
		return p.levels[1]
	case l < slog.LevelError:
		return p.levels[2]
	}
	return p.levels[3]
}

// Enabled implements slog.Handler.
func (p *priorities) Enabled(ctx context.Context, l slog.Level) bool { return p.at(l).Enabled(ctx, l) }

// Handle implements slog.Handler.
func (p *priorities) Handle(ctx context.Context, r slog.Record) error {
	return p.at(r.Level).Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (p *priorities) WithAttrs(attrs []slog.Attr) slog.Handler {
	return p.each(func(h slog.Handler) slog.Handler { return h.WithAttrs(attrs) })
}

// WithGroup implements slog.Handler.
func (p *priorities) WithGroup(name string) slog.Handler {
	return p.each(func(h slog.Handler) slog.Handler { return h.WithGroup(name) })
}

func (p *priorities) each(f func(slog.Handler) slog.Handler) slog.Handler {
	n := &priorities{}
	for i, h := range p.levels {
		n.levels[i] = f(h)
	}
	return n
}
