package listener

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"postseal/resolver"
)

// bulky has so much text at every name.
type bulky int

func (b bulky) Lookup(_ context.Context, name string, t resolver.Type) (resolver.Answer, error) {
	if t != resolver.TXT {
		return resolver.Answer{NXDomain: true}, nil
	}
	return resolver.Answer{Records: []resolver.RR{{Text: strings.Repeat("x", int(b))}, {Text: "v=spf1 -all"}}, Canonical: name}, nil
}

// TestSPFCacheBytes: what checks keep of the DNS is bounded all together, the oldest go first, and
// all of it goes when its time is over, without a further call.
func TestSPFCacheBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size, checks = 60 << 10, 1500
		c := NewSPFCache()
		defer c.Close()
		released := 0
		c.release = func() { released++ }
		v := verifier(t, bulky(size))
		for i := range checks {
			c.Check(v, client("192.0.2.1"), "", fmt.Sprintf("a@d%d.test", i)).Wait(t.Context())
		}
		synctest.Wait()
		if c.bytes > spfMaxBytes || c.bytes < spfMaxBytes-2*size || len(c.checks) < spfMaxBytes/size/2 {
			t.Errorf("%d checks of %d are kept, %d octets, want just under %d", len(c.checks), checks, c.bytes, spfMaxBytes)
		}
		newest := c.Check(v, client("192.0.2.1"), "", fmt.Sprintf("a@d%d.test", checks-1))
		if again := c.Check(v, client("192.0.2.1"), "", fmt.Sprintf("a@d%d.test", checks-1)); again != newest || c.Reused() != 2 {
			t.Error("the newest check is not kept")
		}
		time.Sleep(spfMaxAge + time.Second)
		synctest.Wait()
		if len(c.checks)+len(c.order)+c.bytes != 0 || released == 0 {
			t.Errorf("after their time %d checks are kept, %d octets; memory was given back %d times", len(c.checks), c.bytes, released)
		}
	})
}
