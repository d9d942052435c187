package bench

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"postseal"
	"postseal/lab/bench/corpus"
	"postseal/resolver"
	"postseal/resolver/dnstest"
)

// shape is one row of the table.
type shape = corpus.Shape

func shapes() []shape {
	var all []shape
	for _, algorithm := range []string{"rsa", "ed25519"} {
		for _, canonical := range []string{"relaxed", "simple"} {
			for _, size := range []int{2 << 10, 10 << 10, 100 << 10, 10 << 20} {
				all = append(all, shape{Algorithm: algorithm, Canonical: canonical, Bytes: size, Signed: 1})
			}
		}
	}
	for signed := 2; signed <= 4; signed++ {
		all = append(all, shape{Algorithm: "rsa", Canonical: "relaxed", Bytes: 10 << 10, Signed: signed}, shape{Algorithm: "rsa", Canonical: "relaxed", Bytes: 100 << 10, Signed: signed})
	}
	return all
}

var clock = time.Now() // that of the signer

// warm is a verifier whose cache has every answer.
func warm(tb testing.TB) *postseal.Verifier {
	zone, err := dnstest.Parse(corpus.Zone)
	if err != nil {
		tb.Fatal(err)
	}
	v, err := postseal.New(postseal.Config{AuthservID: "mx.example.net", Now: func() time.Time { return clock },
		Resolver: resolver.NewCache(zone, resolver.CacheOptions{})})
	if err != nil {
		tb.Fatal(err)
	}
	return v
}

var client = postseal.Conn{Remote: netip.MustParseAddrPort("198.51.100.25:25")}

func verify(tb testing.TB, v *postseal.Verifier, msg io.Reader) *postseal.Report {
	s := v.Session(context.Background(), client)
	s.Helo("out.bulk.test")
	r, err := s.Verify(context.Background(), "bounce@bulk.test", nil, msg)
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

// floor is what no verifier can do without: the octets through SHA-256 once per distinct
// canonicalization, and the public-key operation of each signature.
func floor(tb testing.TB, s shape, msg []byte) func() {
	digest := sha256.Sum256(msg)
	header := make([]byte, 900) // what a signature covers of the header section
	var operations []func() bool
	for i := range s.Signed {
		if s.Algorithm == "ed25519" {
			sig := ed25519.Sign(corpus.EdKeys[i], digest[:])
			public := corpus.EdKeys[i].Public().(ed25519.PublicKey)
			operations = append(operations, func() bool { return ed25519.Verify(public, digest[:], sig) })
			continue
		}
		sig, err := rsa.SignPKCS1v15(nil, corpus.RSAKeys[i], crypto.SHA256, digest[:])
		if err != nil {
			tb.Fatal(err)
		}
		public := &corpus.RSAKeys[i].PublicKey
		operations = append(operations, func() bool { return rsa.VerifyPKCS1v15(public, crypto.SHA256, digest[:], sig) == nil })
	}
	_, body, _ := bytes.Cut(msg, []byte("\r\n\r\n"))
	return func() {
		sha256.Sum256(body)
		for _, verify := range operations {
			sha256.Sum256(header)
			if !verify() {
				tb.Fatal("the floor does not verify")
			}
		}
	}
}

// BenchmarkFloor and BenchmarkEngine have the same rows: their ratio is the price of
// everything that is not cryptography.
func BenchmarkFloor(b *testing.B) {
	for _, s := range shapes() {
		b.Run(s.String(), func(b *testing.B) {
			msg := corpus.Message(s)
			work := floor(b, s, msg)
			b.SetBytes(int64(len(msg)))
			b.ReportAllocs()
			for b.Loop() {
				work()
			}
		})
	}
}

// BenchmarkEngine is the whole verification: SPF with 5 includes, DKIM, the DMARC tree
// walk, iprev, the Authentication-Results field, with warm caches.
func BenchmarkEngine(b *testing.B) {
	for _, s := range shapes() {
		b.Run(s.String(), func(b *testing.B) {
			msg := corpus.Message(s)
			v := warm(b)
			octets := bytes.NewReader(msg)
			r := verify(b, v, octets)
			if r.Decision.Reason != postseal.DMARCPass || r.SPF[0].Lookups != 6 || len(r.DKIM) != s.Signed {
				b.Fatalf("%+v, %d lookups, %d signatures", r.Decision, r.SPF[0].Lookups, len(r.DKIM))
			}
			for _, sig := range r.DKIM {
				if sig.Code != "pass" {
					b.Fatalf("%s: %s", sig.Selector, sig.Problem)
				}
			}
			b.SetBytes(int64(len(msg)))
			b.ReportAllocs()
			for b.Loop() {
				octets.Reset(msg)
				verify(b, v, octets)
			}
		})
	}
}

// BenchmarkBody: the cost per octet must not depend on the shape of the body, and grow
// with its size alone.
func BenchmarkBody(b *testing.B) {
	for name, line := range map[string]string{"text": "The quick brown fox jumps over the lazy dog, 0123456789.\r\n", "blank": "\r\n", "spaces": " \t \t \t \t  x\r\n",
		"long": strings.Repeat("x", 900)} {
		for _, size := range []int{64 << 10, 512 << 10, 4 << 20} {
			for _, canonical := range []string{"relaxed", "simple"} {
				b.Run(fmt.Sprintf("%s/%s/%s", name, canonical, corpus.Size(size)), func(b *testing.B) {
					msg := corpus.Sign(shape{Algorithm: "rsa", Canonical: canonical, Bytes: 0, Signed: 1}, []byte(strings.Repeat(line, size/len(line))+"end\r\n"))
					v := warm(b)
					b.SetBytes(int64(len(msg)))
					for b.Loop() {
						verify(b, v, bytes.NewReader(msg))
					}
				})
			}
		}
	}
}
