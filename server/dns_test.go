package server

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"

	"postseal/internal/app/conf"
	"postseal/internal/core/middleware"
	"postseal/lab/listenertest"
	"postseal/resolver"
	"postseal/server/listener"
)

// mute is a name server that can be silenced.
type mute struct{ silent atomic.Bool }

func (m *mute) Lookup(_ context.Context, name string, t resolver.Type) (resolver.Answer, error) {
	if m.silent.Load() {
		return resolver.Answer{}, &resolver.Error{Name: name, Type: t, Kind: resolver.Timeout}
	}
	return resolver.Answer{NXDomain: true}, nil
}

// TestNoNameServer: while no name server answers, queries fail at once, and the log and the
// metrics say so.
func TestNoNameServer(t *testing.T) {
	m, log := listener.NewMetrics("test"), new(listenertest.Log)
	server := new(mute)
	server.silent.Store(true)
	n, err := given(server)(conf.Default().DNS)
	if err != nil {
		t.Fatal(err)
	}
	n.guard(nil, m, slog.New(slog.NewTextHandler(log, nil)))
	ask := func(i int) resolver.Kind {
		_, err := n.cache.Lookup(t.Context(), fmt.Sprintf("a%d.test", i), resolver.TXT)
		if err == nil {
			return ""
		}
		return resolver.KindOf(err)
	}
	for i := range middleware.DefaultBreakerFailures {
		if got := ask(i); got != resolver.Timeout {
			t.Fatalf("question %d: %s", i, got)
		}
	}
	if got := ask(100); got != resolver.Down {
		t.Errorf("then: %s, want down", got)
	}
	var current atomic.Pointer[names]
	current.Store(n)
	registerCache(m.Registry, &current)
	families, err := m.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	down := -1.0
	for _, f := range families {
		if f.GetName() == "postseal_dns_down" {
			down = f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	if down != 1 || !strings.Contains(log.String(), "no name server answers") {
		t.Errorf("dns_down = %v\n%s", down, log)
	}
}
