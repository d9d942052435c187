package server

import (
	"context"
	"errors"
	"net/http"
	"time"

	"postseal"
	"postseal/audit"
	"postseal/bundle"
	"postseal/internal/app/explain"
	"postseal/server/listener"
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
	return f
}

// Store implements ui.Source.
func (c console) Store() (store.Reader, string) {
	if db := c.d.history.reader(); db != nil {
		return db, ""
	}
	return nil, c.d.history.noHistory().Error()
}

// Config implements ui.Source.
func (c console) Config() string {
	text, err := c.d.engine.Current().Config.Text()
	if err != nil {
		return "the configuration cannot be shown: " + listener.Text(err)
	}
	return string(text)
}

// Now implements ui.Source.
func (c console) Now() time.Time { return c.d.history.now() }

// Audit implements ui.Source.
func (c console) Audit(r *http.Request) (*audit.Report, error) {
	report, err := c.d.audit(r)
	if err != nil {
		return nil, err
	}
	return report.(*audit.Report), nil
}

// Explain implements ui.Source.
func (c console) Explain(ctx context.Context, ref string) (*ui.Explained, error) {
	kept, err := c.d.bundles.find(ctx, ref)
	if err != nil {
		return nil, err
	}
	config, err := kept.Config()
	if err != nil {
		return nil, err
	}
	config.Trace = true
	v, err := postseal.New(config)
	if err != nil {
		return nil, err
	}
	report, err := kept.RunWith(ctx, v)
	if err != nil {
		return nil, err
	}
	report.Ref = kept.Ref
	config = v.Config()
	return &ui.Explained{Explanation: explain.Of(report, &config), Differences: kept.Check(report), Missing: bundle.Missing(report)}, nil
}

// find reads the evidence of a verdict by its reference or queue id.
func (b *bundles) find(ctx context.Context, ref string) (*bundle.Bundle, error) {
	b.settle(ctx)
	s := b.current.Load()
	if s == nil {
		return nil, notFound("no evidence is stored: [bundles] dir is empty")
	}
	data, _, err := evidence.Find(s.config.Dir, ref)
	if errors.Is(err, evidence.ErrNotFound) {
		return nil, notFound("no evidence is stored for this reference; [bundles] keep says which verdicts have evidence, and the oldest are removed first")
	}
	if err != nil {
		return nil, err
	}
	return bundle.Parse(data)
}
