package server

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"strings"

	"postseal/internal/app/atomicfile"
	"postseal/internal/app/conf"
	"postseal/internal/app/fleet"
	"postseal/server/listener"
)

// loadFirst reads the configuration at startup. If the hosts share one, that is the copy of the last
// run, until the database answers: see member.configuration. A copy that cannot be used any more
// does not keep the daemon from starting.
func loadFirst(o Options) (c *conf.Config, warnings []conf.Problem, shared *conf.Shared, err error) {
	c, warnings, err = o.Load(nil)
	if err == nil && c.Fleet.Config != "shared" {
		return c, warnings, nil, nil
	}
	if shared = sharedCopy(); shared == nil {
		return c, warnings, nil, err
	}
	with, more, failed := o.Load(shared) // an [[expect]] entry of the file may need it
	switch {
	case failed == nil && with.Fleet.Config == "shared":
		return with, more, shared, nil
	case err == nil:
		warnings = append(warnings, conf.Problem{File: conf.SharedCopy(), Text: "the last shared configuration cannot be used: " + failed.Error(), Warning: true})
	}
	return c, warnings, nil, err
}

// sharedCopy returns the last shared configuration that this host used, nil for none.
func sharedCopy() *conf.Shared {
	text, err := os.ReadFile(conf.SharedCopy())
	s := &conf.Shared{}
	if err != nil || json.Unmarshal(text, s) != nil || s.N == 0 {
		return nil
	}
	return s
}

func numberOf(s *conf.Shared) int64 {
	if s == nil {
		return 0
	}
	return s.N
}

// inDaemon runs f in the goroutine that runs the daemon.
func (m *member) inDaemon(ctx context.Context, f func()) error {
	done := make(chan struct{})
	select {
	case m.d.tasks <- func() { defer close(done); f() }:
	case <-ctx.Done():
		return ctx.Err()
	}
	<-done
	return nil
}

// configuration uses the active shared configuration, and judges the staged one. A configuration that
// this host cannot use changes nothing here; the others learn why.
func (m *member) configuration(ctx context.Context) error {
	if !m.usesConfig {
		return nil
	}
	active, staged, err := m.db.Current(ctx)
	if err != nil {
		return err
	}
	if active != m.self.Config && active != m.failed.Load() {
		if err := m.change(ctx, active, m.use); err != nil {
			return err
		}
	}
	if staged > m.self.Judged {
		return m.change(ctx, staged, m.judge)
	}
	return nil
}

// change reads a configuration, and shows what f makes of it.
func (m *member) change(ctx context.Context, n int64, f func(*conf.Shared)) error {
	var s *conf.Shared
	if n > 0 {
		c, err := m.db.ConfigOf(ctx, n)
		if errors.Is(err, fleet.ErrNoConfig) { // it is not kept any more: look again
			return nil
		}
		if err != nil {
			return err
		}
		s = &conf.Shared{}
		if err := json.Unmarshal([]byte(c.Body), s); err != nil {
			m.verdict(n, err)
			return nil
		}
		s.N = n
	}
	if err := m.inDaemon(ctx, func() { f(s) }); err != nil {
		return err
	}
	m.urgent = true
	return nil
}

// verdict notes what speaks against a configuration.
func (m *member) verdict(n int64, err error) {
	m.self.Judged, m.self.Judgement = max(n, m.self.Judged), ""
	if err != nil {
		text := ""
		for line := range strings.Lines(err.Error()) {
			if !strings.Contains(line, ": warning: ") {
				text += line
			}
		}
		text = strings.ToValidUTF8(strings.ReplaceAll(text, "\x00", ""), "\uFFFD")
		m.self.Judgement = strings.ToValidUTF8(text[:min(len(text), maxJudgement)], "")
	}
}

// maxJudgement bounds the text that a host shows about a configuration, in octets.
const maxJudgement = 2000

// judge finds out whether this host could use a configuration.
func (m *member) judge(s *conf.Shared) {
	c, _, err := m.d.options.Load(s)
	if err == nil {
		var p *parts
		if p, err = m.d.build(c); err == nil {
			m.d.discard(p.names)
		}
	}
	m.verdict(numberOf(s), err)
}

// use puts a configuration in force, or keeps the one before.
func (m *member) use(s *conf.Shared) {
	n := numberOf(s)
	if m.self.Config == n {
		return
	}
	err := m.d.reload(s)
	m.verdict(n, err)
	if err != nil {
		m.failed.Store(n)
		m.d.log.Error("the shared configuration cannot be used here: the one before stays in force", "number", n, "in_force", m.self.Config)
		return
	}
	m.self.Config = n
	m.d.log.Info("shared configuration", "number", n)
	if err := keepCopy(s); err != nil {
		m.d.log.Warn("the shared configuration cannot be kept in the state directory for the next start", "file", conf.SharedCopy(), "error", listener.Text(err))
	}
}

// keepCopy writes the file that sharedCopy reads.
func keepCopy(s *conf.Shared) error {
	path := conf.SharedCopy()
	if path == "" {
		return fs.ErrNotExist
	}
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return atomicfile.Write(path, text, atomicfile.Options{Mode: 0o600, Prefix: ".new-", Sync: true})
}
