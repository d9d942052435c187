package postseal_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postseal"
	"postseal/dmarc"
	"postseal/internal/core/middleware"
	"postseal/resolver"
	"postseal/resolver/dnstest"
	"postseal/resolver/stub"
)

var silentTime = flag.Duration("silent", time.Second, "how long TestSilentSenders attacks")

// TestSilentSenders: forty connections, each from its own network, send forgeries of a
// protected domain, one after the other, with ten signatures whose name servers never answer. A
// real resolver is asked. No forgery is accepted, no honest message changes its verdict, and
// honest mail takes at most 2 s more than before.
func TestSilentSenders(t *testing.T) {
	program, err := exec.LookPath("unbound")
	if err != nil {
		t.Skip("unbound is not installed: apt-get install unbound")
	}
	takes := *silentTime
	f := newSilentField(t, program)
	idle := f.honest(t, 50, 20*time.Millisecond)
	ctx, end := context.WithTimeout(t.Context(), takes)
	defer end()
	var attackers sync.WaitGroup
	for i := range 40 {
		attackers.Go(func() {
			for ctx.Err() == nil {
				f.forgery(ctx, t, i)
			}
		})
	}
	time.Sleep(takes / 5)
	attacked := f.honest(t, int(takes/time.Second)*7, 100*time.Millisecond)
	end()
	attackers.Wait()
	if most := idle + 2*time.Second; attacked > most {
		t.Errorf("honest mail takes %v, %v without the attack", attacked, idle)
	}
	t.Logf("honest mail: %v idle, %v attacked; %d forgeries refused, %d put off or given up", idle, attacked, f.refused.Load(), f.waiting.Load())
}

// silentField is a verifier on a resolver that has silent servers below evil.
type silentField struct {
	verifier         *postseal.Verifier
	breaker          *middleware.Breaker
	refused, waiting atomic.Int64
}

func newSilentField(t *testing.T, program string) *silentField {
	t.Helper()
	records, err := dnstest.Parse("_dmarc.acme.test. TXT \"v=DMARC1; p=reject\"\nacme.test. TXT \"v=spf1 ip4:192.0.2.1 -all\"\narpa. NS ns.test.\n")
	if err != nil {
		t.Fatal(err)
	}
	server, err := records.Serve()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	silent, err := net.ListenPacket("udp", "127.0.0.1:0") // which reads nothing
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { silent.Close() })
	address, _ := unbound(t, program, server.Addr(), silent.LocalAddr().String())
	client, err := stub.New(stub.Config{Servers: []string{address}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	f := &silentField{breaker: middleware.NewBreaker(middleware.NewLimit(client, 0), middleware.BreakerOptions{Probe: client})}
	f.verifier = verifier(t, postseal.Config{Enforce: postseal.Strict, Resolver: resolver.NewCache(middleware.Coalesce(f.breaker), resolver.CacheOptions{Stale: time.Hour})})
	return f
}

// forgery is one of connection i. None is accepted.
func (f *silentField) forgery(ctx context.Context, t *testing.T, i int) {
	var text strings.Builder
	for range 10 {
		fmt.Fprintf(&text, "DKIM-Signature: v=1; a=rsa-sha256; d=d%d.evil; s=s; h=from; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=AAAA\r\n", rand.Uint64())
	}
	text.WriteString("From: a@acme.test\r\n\r\nx\r\n")
	from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 0, byte(i), 66}), 25)
	r, err := postseal.VerifyReader(ctx, f.verifier, postseal.Conn{Remote: from}, "mx.acme.test", "a@acme.test", strings.NewReader(text.String()))
	switch {
	case err != nil || r.Decision.Applied == postseal.Accept && ctx.Err() == nil:
		t.Errorf("%v, accepted: dmarc=%s %s", err, r.DMARC.Code, r.DMARC.Reason)
	case r.Decision.Applied == postseal.Reject:
		f.refused.Add(1)
	default:
		f.waiting.Add(1)
	}
}

// honest sends n messages and returns the 99th percentile of their time, of less than 500 the 95th. Each asks for a name that
// was not asked before.
func (f *silentField) honest(t *testing.T, n int, pause time.Duration) time.Duration {
	took := make([]time.Duration, n)
	for i := range took {
		began := time.Now()
		r, err := postseal.VerifyReader(t.Context(), f.verifier, postseal.Conn{Remote: netip.MustParseAddrPort("192.0.2.1:25")}, fmt.Sprintf("h%d.acme.test", rand.Uint64()),
			"a@acme.test", strings.NewReader("From: a@acme.test\r\n\r\nx\r\n"))
		took[i] = time.Since(began)
		if err != nil || r.DMARC.Code != dmarc.Pass || r.SPF[1].Code == "temperror" {
			t.Errorf("honest message %d after %v: %v, dmarc=%s, helo %s (%s)", i, took[i], err, r.DMARC.Code, r.SPF[1].Code, r.SPF[1].Problem)
		}
		if f.breaker.Open() {
			t.Errorf("the breaker is open at honest message %d", i)
		}
		time.Sleep(pause)
	}
	slices.Sort(took)
	if n < 500 {
		return took[n*95/100]
	}
	return took[n*99/100]
}
