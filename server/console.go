package server

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"postseal"
	"postseal/bundle"
	"postseal/internal/app/bulk"
	"postseal/internal/app/explain"
	"postseal/internal/app/history"
	"postseal/internal/app/watch"
	"postseal/resolver"
	"postseal/server/listener"
	"postseal/server/web"
	"postseal/server/web/ui"
	"postseal/store"
	"postseal/store/evidence"
)

// console provides what the pages show about the daemon.
type console struct{ d *Daemon }

// Frame implements ui.Source.
func (c console) Frame() ui.Frame {
	s := c.d.engine.Current()
	f := ui.Frame{Host: s.AuthservID, Mode: string(s.Config.Enforce), Version: c.d.options.Version}
	if err := c.d.history.ready(); err != nil {
		f.Trouble = listener.Text(err)
	}
	if f.Trouble == "" {
		f.Trouble = c.d.notices.trouble()
	}
	return f
}

// Store implements ui.Source.
func (c console) Store() (store.Reader, string) {
	if db := c.d.history.reader(); db != nil {
		return db, ""
	}
	return nil, c.d.history.noHistory().Error()
}

// Recent implements ui.Source.
func (c console) Recent() *history.Recent { return &c.d.history.recent }

// Attention implements ui.Source.
func (c console) Attention(ctx context.Context) *ui.Attention { return c.d.notices.list(ctx) }

// System implements ui.Source.
func (c console) System(ctx context.Context, checks bool) *ui.System {
	return c.d.systemOf(ctx, checks)
}

// Configuration implements ui.Source.
func (c console) Configuration(ctx context.Context) (*ui.Configuration, error) {
	return c.d.configuration(ctx)
}

// Exemptions implements ui.Source.
func (c console) Exemptions(ctx context.Context) (*ui.Exemptions, error) { return c.d.exemptions(ctx) }

// LookUp implements ui.Source.
func (c console) LookUp(ctx context.Context, name, kind string) (*ui.LookedUp, error) {
	return c.d.lookUp(ctx, name, kind)
}

// Reload implements ui.Source.
func (c console) Reload(ctx context.Context) error { return c.d.reloadNow(ctx) }

// SetLogLevel implements ui.Source.
func (c console) SetLogLevel(name string) error { return c.d.setLogLevel(name) }

// Now implements ui.Source.
func (c console) Now() time.Time { return c.d.history.now() }

// Resolver implements ui.Source.
func (c console) Resolver() resolver.Resolver { return c.d.resolver() }

// MessageIDKey implements ui.Source.
func (c console) MessageIDKey() store.MessageIDKey { return c.d.history.key }

// Watch implements ui.Source.
func (c console) Watch() (*watch.List, string) { return c.d.audits.watch, c.d.audits.why }

// Bulk implements ui.Source.
func (c console) Bulk() (*bulk.Jobs, string) { return c.d.audits.bulk, c.d.audits.why }

// Listeners implements ui.Source.
func (c console) Listeners() []ui.Listening { return c.d.listening() }

// Explain implements ui.Source.
func (c console) Explain(ctx context.Context, ref string, now bool) (*ui.Explained, error) {
	kept, err := c.d.bundles.find(ctx, ref)
	if err != nil {
		return nil, err
	}
	report, config, err := rerun(ctx, kept, tracing)
	if err != nil {
		return nil, err
	}
	e := &ui.Explained{Explanation: explain.Of(report, config), Report: report, Differences: kept.Check(report), Missing: bundle.Missing(report),
		Private: ui.PrivateOf(report, kept.Envelope.From, kept.Envelope.To), Queries: queriesOf(kept.Timings, report.Exchanges()), Recipients: len(kept.Envelope.To), Until: kept.Now.Add(time.Duration(c.d.engine.Current().Config.Bundles.MaxAge))}
	if !now {
		return e, nil
	}
	dns := c.d.names.Load().cache
	again, config, err := rerun(ctx, kept, func(c *postseal.Config) { c.Trace, c.Resolver = true, dns })
	if err != nil {
		return nil, err
	}
	e.Private = ui.PrivateOf(report, kept.Envelope.From, kept.Envelope.To, again.SPF...)
	e.Now = &ui.Again{Explanation: explain.Of(again, config), Differences: kept.Check(again), Records: recordChanges(report.Exchanges(), again.Exchanges())}
	return e, nil
}

// Story implements ui.Source.
func (c console) Story(rw http.ResponseWriter, r *http.Request) {
	web.JSON(c.d.engine, c.story)(rw, r)
}

// queriesOf joins when queries were made with what they were answered.
func queriesOf(timings []bundle.Timing, answers []resolver.Exchange) []ui.Query {
	list := make([]ui.Query, 0, len(timings))
	for _, t := range timings {
		q := ui.Query{Timing: t}
		k := slices.IndexFunc(answers, func(e resolver.Exchange) bool { return e.Name == t.Name && e.Type.String() == t.Type })
		if k >= 0 {
			a := &answers[k]
			q.TTL, q.Stale, q.Secure = a.Answer.TTL, a.Answer.Stale, a.Answer.Security == resolver.Secure
			if a.Err != nil {
				q.Failed = string(resolver.KindOf(a.Err))
			}
		}
		list = append(list, q)
	}
	return list
}

// tracing lets a verdict tell every step.
func tracing(c *postseal.Config) { c.Trace = true }

// rerun evaluates a bundle again, with its own configuration and DNS answers except for what change
// sets.
func rerun(ctx context.Context, kept *bundle.Bundle, change func(*postseal.Config)) (*postseal.Report, *postseal.Config, error) {
	config, err := kept.Config()
	if err != nil {
		return nil, nil, err
	}
	change(&config)
	v, err := postseal.New(config)
	if err != nil {
		return nil, nil, err
	}
	report, err := kept.RunWith(ctx, v)
	if err != nil {
		return nil, nil, err
	}
	report.Ref = kept.Ref
	config = v.Config()
	return report, &config, nil
}

// recordChanges compares the DNS answers of two runs.
func recordChanges(before, after []resolver.Exchange) []ui.RecordChange {
	list := []ui.RecordChange{}
	for i := range before {
		b := &before[i]
		k := slices.IndexFunc(after, func(e resolver.Exchange) bool { return e.Name == b.Name && e.Type == b.Type })
		if k < 0 {
			continue // the run took another way
		}
		if was, is := answerText(b), answerText(&after[k]); was != is {
			list = append(list, ui.RecordChange{Type: b.Type.String(), Name: store.Clean(b.Name), Was: was, Is: is})
		}
	}
	return list
}

// answerText returns an answer as one line, in an order that does not depend on the server.
func answerText(e *resolver.Exchange) string {
	const most = 2000
	switch {
	case e.Err != nil:
		return string(resolver.KindOf(e.Err))
	case e.Answer.NXDomain:
		return "the name does not exist"
	case len(e.Answer.Records) == 0:
		return "no record"
	}
	var texts []string
	for i := range e.Answer.Records {
		switch r := &e.Answer.Records[i]; {
		case r.Addr.IsValid():
			texts = append(texts, r.Addr.String())
		case r.Target != "":
			texts = append(texts, r.Target)
		default:
			texts = append(texts, r.Text)
		}
	}
	slices.Sort(texts)
	text := strings.Join(texts, "; ")
	return strings.ToValidUTF8(text[:min(len(text), most)], "\uFFFD")
}

// find reads the evidence of a verdict by its reference or queue id.
func (b *bundles) find(ctx context.Context, ref string) (*bundle.Bundle, error) {
	data, err := b.file(ctx, ref)
	if err != nil {
		return nil, err
	}
	return bundle.Parse(data)
}

// text is GET /v1/verdicts/{ref}/bundle: the evidence as it is stored, for postseal explain.
func (b *bundles) text(rw http.ResponseWriter, r *http.Request) error {
	data, err := b.file(r.Context(), r.PathValue("ref"))
	if err != nil {
		return err
	}
	rw.Header().Set("Content-Type", "text/plain; charset=utf-8")
	rw.Header().Set("Content-Disposition", "attachment; filename=postseal.bundle")
	rw.Write(data) //nolint:errcheck // the client is gone
	return nil
}

// file reads the stored bundle of a verdict.
func (b *bundles) file(ctx context.Context, ref string) ([]byte, error) {
	b.engine().Settle(ctx)
	b.settle(ctx)
	s := b.current.Load()
	if s == nil {
		return nil, notFound("no evidence is stored: [bundles] dir is empty")
	}
	data, err := s.folder.Find(ref)
	if errors.Is(err, evidence.ErrNotFound) {
		return nil, notFound("no evidence is stored for this reference; [bundles] keep says which verdicts have evidence, and the oldest are removed first")
	}
	return data, err
}
