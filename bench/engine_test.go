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
	"postseal/resolver"
	"postseal/resolver/dnstest"
)

// shape is one row of the table: a message and its signatures.
type shape struct {
	algorithm string // rsa or ed25519
	canonical string // relaxed or simple
	bytes     int
	signed    int // signatures
}

func (s shape) String() string {
	return fmt.Sprintf("%s/%s/%s/%dsig", s.algorithm, s.canonical, sizeText(s.bytes), s.signed)
}

func sizeText(n int) string {
	if n >= 1<<20 {
		return fmt.Sprintf("%dMB", n>>20)
	}
	return fmt.Sprintf("%dKB", n>>10)
}

func shapes() []shape {
	var all []shape
	for _, algorithm := range []string{"rsa", "ed25519"} {
		for _, canonical := range []string{"relaxed", "simple"} {
			for _, size := range []int{2 << 10, 10 << 10, 100 << 10, 10 << 20} {
				all = append(all, shape{algorithm, canonical, size, 1})
			}
		}
	}
	for signed := 2; signed <= 4; signed++ {
		all = append(all, shape{"rsa", "relaxed", 10 << 10, signed}, shape{"rsa", "relaxed", 100 << 10, signed})
	}
	return all
}

var clock = time.Now() // that of the signer

// warm is a verifier whose cache has every answer.
func warm(tb testing.TB) *postseal.Verifier {
	zone, err := dnstest.Parse(zoneText)
	if err != nil {
		tb.Fatal(err)
	}
	v, err := postseal.New(postseal.Config{AuthservID: "mx.example.net", Now: func() time.Time { return clock },
		Resolver: resolver.NewCache(zone, resolver.CacheOptions{MinTTL: 24 * time.Hour})})
	if err != nil {
		tb.Fatal(err)
	}
	return v
}

var client = postseal.Conn{Remote: netip.MustParseAddrPort("198.51.100.25:25")}

func verify(tb testing.TB, v *postseal.Verifier, msg io.Reader) *postseal.Report {
	r, err := postseal.VerifyReader(context.Background(), v, client, "out.bulk.test", "bounce@bulk.test", msg)
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
	for i := range s.signed {
		if s.algorithm == "ed25519" {
			sig := ed25519.Sign(edKeys[i], digest[:])
			public := edKeys[i].Public().(ed25519.PublicKey)
			operations = append(operations, func() bool { return ed25519.Verify(public, digest[:], sig) })
			continue
		}
		sig, err := rsa.SignPKCS1v15(nil, rsaKeys[i], crypto.SHA256, digest[:])
		if err != nil {
			tb.Fatal(err)
		}
		public := &rsaKeys[i].PublicKey
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
			msg := message(b, s)
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
			msg := message(b, s)
			v := warm(b)
			octets := bytes.NewReader(msg)
			r := verify(b, v, octets)
			if r.Decision.Reason != postseal.DMARCPass || r.SPF[0].Lookups != 6 || len(r.DKIM) != s.signed {
				b.Fatalf("%+v, %d lookups, %d signatures", r.Decision, r.SPF[0].Lookups, len(r.DKIM))
			}
			for _, sig := range r.DKIM {
				if sig.Result != "pass" {
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
				b.Run(fmt.Sprintf("%s/%s/%s", name, canonical, sizeText(size)), func(b *testing.B) {
					msg := sign(b, shape{"rsa", canonical, 0, 1}, []byte(strings.Repeat(line, size/len(line))+"end\r\n"))
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
