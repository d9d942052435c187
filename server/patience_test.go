package server

import (
	"context"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"postseal"
	"postseal/internal/app/conf"
	"postseal/internal/core/middleware"
	"postseal/lab/listenertest"
	"postseal/message"
	"postseal/resolver"
	"postseal/server/listener"
)

// hanging answers nothing, as a firewall that drops every datagram.
type hanging struct{}

func (hanging) Lookup(ctx context.Context, name string, t resolver.Type) (resolver.Answer, error) {
	limited, cancel := context.WithTimeout(ctx, time.Duration(conf.Default().DNS.Timeout))
	defer cancel()
	<-limited.Done()
	return resolver.Answer{}, &resolver.Error{Name: name, Type: t, Kind: resolver.Timeout}
}

// TestOnePatience: with a resolver that hangs, the policy service and the milter together wait no
// longer than [dns] timeout for a message, whatever its signatures ask for, and the log says why
// before that.
func TestOnePatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, log := listener.NewMetrics("test"), new(listenertest.Log)
		logger := slog.New(slog.NewTextHandler(log, nil))
		n, err := given(hanging{})(conf.Default().DNS)
		if err != nil {
			t.Fatal(err)
		}
		n.guard(nil, m, logger)
		c := conf.Default()
		c.AuthservID = "mx.test"
		config, _ := c.Engine()
		config.Resolver = n.cache
		snapshot, err := listener.NewSnapshot(c, config)
		if err != nil {
			t.Fatal(err)
		}
		e := listener.NewEngine(snapshot, logger, m)
		defer e.Close()
		e.ShareSPF = true
		conn := postseal.Conn{Remote: netip.MustParseAddrPort("203.0.113.7:25")}

		began := time.Now()
		tx := e.Begin(t.Context(), snapshot, conn, "x.test", "a@b.test") // the milter hears of MAIL FROM first
		policy := e.SPF.Check(snapshot.Verifier, conn, "x.test", "a@b.test")
		policy.Wait(t.Context())
		mail := "DKIM-Signature: v=1; a=rsa-sha256; d=d.test; s=s; h=from; bh=AAAA; b=AAAA\r\nFrom: a@other.test\r\n\r\nx\r\n"
		if err := message.Stream(tx, strings.NewReader(mail), message.Limits{}); err != nil {
			t.Fatal(err)
		}
		r, err := tx.Finish(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if took, most := time.Since(began), time.Duration(c.DNS.Timeout)+time.Second/10; took > most {
			t.Errorf("the message took %v, want at most %v", took, most)
		}
		if r.Decision.Reason != postseal.DMARCTempError {
			t.Errorf("reason %s, want temperror", r.Decision.Reason)
		}
		if !strings.Contains(log.String(), "no name server answers") {
			t.Errorf("the log does not say why:\n%s", log)
		}
		time.Sleep(middleware.DefaultBreakerPatience) // the last probe ends
	})
}
