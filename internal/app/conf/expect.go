package conf

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"postseal"
	"postseal/bundle"
	"postseal/internal/core/middleware"
	"postseal/message"
	"postseal/resolver"
)

// maxExpected limits the size of one file of an [[expect]] entry.
const maxExpected = 64 << 20

// checkExpectations evaluates every [[expect]] entry. A verdict that differs is a problem,
// reported with the reason.
func (d *decoder) checkExpectations(c *Config, now time.Time) {
	for i := range c.Expect {
		e, path := &c.Expect[i], fmt.Sprintf("expect[%d]", i)
		if e.Action == "" {
			d.problem(path, "%saction is missing: accept, quarantine, reject or defer", e.label())
			continue
		}
		if e.open == nil {
			e.open = func(name string) ([]byte, error) { return readExpected(filepath.Dir(d.file), name) }
		}
		b, err := e.load(now)
		if err != nil {
			d.problem(path, "%s%v", e.label(), err)
			continue
		}
		if difference, err := e.try(c, b); err != nil {
			d.problem(path, "%s%v", e.label(), err)
		} else if difference != "" {
			d.problem(path+".action", "%s%s", e.label(), difference)
		}
	}
}

func (e *Expect) label() string {
	if e.Name == "" {
		return ""
	}
	return fmt.Sprintf("%.100q: ", e.Name)
}

// load returns the entry as a bundle.
func (e *Expect) load(now time.Time) (*bundle.Bundle, error) {
	withZone := e.Zone + e.IP + e.Helo + e.From + e.Message + string(e.Author)
	switch {
	case e.Bundle != "" && withZone != "":
		return nil, errors.New("a bundle contains everything: remove zone, ip, helo, from, message and author")
	case e.Bundle != "":
		data, err := e.open(e.Bundle)
		if err != nil {
			return nil, err
		}
		b, err := bundle.Parse(data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", e.Bundle, err)
		}
		return b, nil
	case e.Zone == "":
		return nil, errors.New("names neither a bundle nor a zone")
	}
	return e.compose(now)
}

// compose builds a bundle from zone, envelope and message.
func (e *Expect) compose(now time.Time) (*bundle.Bundle, error) {
	zone, err := e.open(e.Zone)
	if err != nil {
		return nil, err
	}
	b := &bundle.Bundle{Now: now, Zone: string(zone), Envelope: bundle.Envelope{Helo: e.Helo, From: strings.Trim(e.From, "<>")}}
	if e.IP != "" {
		if b.Envelope.IP, err = netip.ParseAddr(e.IP); err != nil {
			return nil, fmt.Errorf("ip: %q is not an IP address", e.IP)
		}
	}
	switch {
	case (e.Message == "") == (e.Author == ""):
		return nil, errors.New("with a zone, name either message or author")
	case e.Author != "":
		b.Message = []byte("From: author@" + string(e.Author) + "\r\n\r\n")
		return b, nil
	}
	text, err := e.open(e.Message)
	if err != nil {
		return nil, err
	}
	b.Message, err = io.ReadAll(message.NewCRLFReader(bytes.NewReader(text)))
	return b, err
}

func readExpected(dir, name string) ([]byte, error) {
	path := name
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxExpected+1))
	if err == nil && len(data) > maxExpected {
		err = fmt.Errorf("%s: is larger than 64 MiB", name)
	}
	return data, err
}

// try returns how the verdict under c differs from the expected one.
func (e *Expect) try(c *Config, b *bundle.Bundle) (difference string, err error) {
	own, err := b.Config()
	if err != nil {
		return "", err
	}
	engine, _ := c.Engine()
	engine.Resolver, engine.Now = own.Resolver, own.Now
	v, err := postseal.New(engine)
	if err != nil {
		return "", err
	}
	r, err := b.RunWith(context.Background(), v)
	if err != nil {
		return "", err
	}
	if missing := bundle.Missing(r); len(missing) > 0 {
		return "", fmt.Errorf("the bundle holds no answer to %s: it was written under another configuration", strings.Join(missing, ", "))
	}
	if got := r.Decision.Applied; string(got) != e.Action {
		return fmt.Sprintf("got %s, want %s (%s)", got, e.Action, why(r)), nil
	}
	return "", nil
}

// why returns what decided.
func why(r *postseal.Report) string {
	text := string(r.Decision.Reason)
	if o := r.Decision.Override; o != nil {
		text += "; " + o.Comment
	}
	if x := middleware.Failure(r.Exchanges()); x != nil {
		text += "; DNS " + string(resolver.KindOf(x.Err)) + " for " + x.Type.String() + " " + x.Name
	}
	return text
}
