package server

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"postseal/internal/app/conf"
	"postseal/resolver"
)

// deadResolver answers nothing, as long as it is dead.
type deadResolver struct{ dead bool }

func (r *deadResolver) Lookup(_ context.Context, name string, t resolver.Type) (resolver.Answer, error) {
	if r.dead {
		return resolver.Answer{}, &resolver.Error{Name: name, Type: t, Kind: resolver.Timeout, Err: errors.New("no answer")}
	}
	return resolver.Answer{}, nil
}

// TestProbe: a resolver that is dead at the start is seen in the log at once; later the first
// question without an answer is.
func TestProbe(t *testing.T) {
	for _, tt := range []struct {
		name string
		dead bool
		want string
	}{{"dead", true, "no name server answers"}, {"alive", false, "the name servers answer"}} {
		t.Run(tt.name, func(t *testing.T) {
			var log bytes.Buffer
			r := &deadResolver{tt.dead}
			d, err := New(Options{Log: &log, Resolver: r, Load: func(*conf.Shared) (*conf.Config, []conf.Problem, error) {
				return conf.Parse("t", []byte("authserv_id = 'mx.test'\n[store]\nurl = 'none'\n"+listeners), time.Now())
			}})
			if err != nil {
				t.Fatal(err)
			}
			defer d.close()
			d.probe(t.Context())
			if !strings.Contains(log.String(), tt.want) {
				t.Errorf("log:\n%s\nwant %q", log.String(), tt.want)
			}
			r.dead = true
			for range 3 {
				d.names.Load().direct.Lookup(t.Context(), "acme.test", resolver.TXT)
			}
			if n := strings.Count(log.String(), "a query to the name servers got no answer"); n != 1 {
				t.Errorf("%d warnings of questions without an answer, want 1:\n%s", n, log.String())
			}
		})
	}
}
