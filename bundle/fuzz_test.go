package bundle

import (
	"bytes"
	"context"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"postseal"
	"postseal/message"
	"postseal/resolver"
)

// texts answers every TXT question about a policy with one text and any other with another.
type texts struct{ spf, policy string }

// Lookup implements resolver.Resolver.
func (x texts) Lookup(_ context.Context, name string, t resolver.Type) (resolver.Answer, error) {
	switch {
	case t != resolver.TXT:
		return resolver.Answer{NXDomain: t == resolver.PTR}, nil
	case len(name) > 7 && name[:7] == "_dmarc.":
		return resolver.Answer{Records: []resolver.RR{{Text: x.policy}}}, nil
	}
	return resolver.Answer{Records: []resolver.RR{{Text: x.spf}}}, nil
}

// FuzzRerun: the bundles of any verdict, with and without the message, are read again and
// come to the same verdict.
func FuzzRerun(f *testing.F) {
	for _, name := range []string{"newsletter", "list", "hostile", "sealed"} {
		raw, err := os.ReadFile(filepath.Join("..", "testdata", "mail", name+".eml"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw, "a@acme.test", "out.acme.test", "v=spf1 ip4:192.0.2.25 -all", "v=DMARC1; p=reject")
	}
	f.Add([]byte("From: a@b.test\n\nx"), "\"a b\"@b.test", "h\r\n-- zone --", "v=spf1 exists:%{s}.x.test exp=b.test -all\n-- message --", "v=DMARC1; p=none\"\\")
	f.Add([]byte("no field\n-- envelope --\n"), "", "", "\x00\xff", "")
	f.Fuzz(func(t *testing.T, raw []byte, from, helo, spf, policy string) {
		msg, err := io.ReadAll(message.NewCRLFReader(bytes.NewReader(raw)))
		if err != nil {
			t.Fatal(err)
		}
		v, err := postseal.New(postseal.Config{AuthservID: "mx.example.net", Resolver: texts{spf, policy}})
		if err != nil {
			t.Fatal(err)
		}
		r, err := postseal.VerifyReader(t.Context(), v, postseal.Conn{Remote: netip.MustParseAddrPort("192.0.2.25:25")}, helo, from, bytes.NewReader(msg))
		if err != nil {
			t.Fatal(err)
		}
		rerun(t, v, r, msg)
	})
}
