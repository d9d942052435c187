package server

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"postseal/server/web/ui"
)

// levelLasts is how long a level holds that was set in the console.
const levelLasts = 15 * time.Minute

// logLevel is the level of the log. One that a person set falls back to that of the configuration.
type logLevel struct {
	slog.LevelVar
	mu         sync.Mutex
	configured slog.Level
	until      time.Time // zero: the configured one holds
	back       *time.Timer
}

var levelNames = []string{"debug", "info", "warn", "error"}

func newLogLevel(name string) *logLevel {
	l := &logLevel{}
	if err := l.configured.UnmarshalText([]byte(name)); err != nil {
		l.configured = slog.LevelInfo
	}
	l.Set(l.configured)
	return l
}

// use sets a level for levelLasts. That of the configuration holds at once and for good.
func (l *logLevel) use(name string, now time.Time) error {
	var level slog.Level
	if !slices.Contains(levelNames, name) || level.UnmarshalText([]byte(name)) != nil {
		return badRequest("level is not one of %s", strings.Join(levelNames, ", "))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stop()
	l.Set(level)
	if level == l.configured {
		return nil
	}
	l.until = now.Add(levelLasts)
	l.back = time.AfterFunc(levelLasts, l.fallBack)
	return nil
}

// stop ends what use began. l.mu is held.
func (l *logLevel) stop() {
	l.until = time.Time{}
	if l.back != nil {
		l.back.Stop()
		l.back = nil
	}
}

func (l *logLevel) fallBack() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stop()
	l.Set(l.configured)
}

// state is what the page System shows.
func (l *logLevel) state() ui.LogLevel {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := ui.LogLevel{Level: strings.ToLower(l.Level().String()), Configured: strings.ToLower(l.configured.String())}
	if !l.until.IsZero() {
		until := l.until.UTC()
		s.Until = &until
	}
	return s
}

// putLogLevel is PUT /v1/log-level, with {"level":"debug"}.
func (d *Daemon) putLogLevel(r *http.Request) (any, error) {
	const longest = 1 << 10
	var asked struct {
		Level string `json:"level"`
	}
	decoder := json.NewDecoder(http.MaxBytesReader(nil, r.Body, longest))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&asked); err != nil {
		return nil, badRequest(`the body is not JSON such as {"level":"debug"}`)
	}
	if err := d.setLogLevel(asked.Level); err != nil {
		return nil, err
	}
	return d.level.state(), nil
}

func (d *Daemon) setLogLevel(name string) error {
	if err := d.level.use(name, time.Now()); err != nil {
		return err
	}
	s := d.level.state()
	if s.Until != nil { // at a level that is always logged
		d.log.Error("the log level was changed in the console", "level", s.Level, "until", s.Until.Format(time.RFC3339), "then", s.Configured)
	}
	return nil
}
