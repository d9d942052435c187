package arc_test

import (
	"crypto/rsa"
	"math/big"
	"strings"
	"testing"

	"postseal/arc"
	"postseal/lab/reference"
)

// costly is the key of one.test with the largest exponent that crypto/rsa takes: what costs
// the signer nothing costs every verifier three times as much.
func costly(t *testing.T) *rsa.PrivateKey {
	usual := key(t, "one.test").(*rsa.PrivateKey)
	phi := big.NewInt(1)
	for _, p := range usual.Primes {
		phi.Mul(phi, new(big.Int).Sub(p, big.NewInt(1)))
	}
	k := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: usual.N, E: 1<<31 - 1}, Primes: usual.Primes}
	if k.D = new(big.Int).ModInverse(big.NewInt(int64(k.E)), phi); k.D == nil {
		t.Fatal("the exponent has no inverse")
	}
	k.Precompute()
	if err := k.Validate(); err != nil {
		t.Fatal(err)
	}
	return k
}

// TestWork: a chain whose keys cost more than is spent fails, however well it is sealed.
func TestWork(t *testing.T) {
	s := set(t, "one.test")
	s.Key, s.Selector = costly(t), "costly"
	z := zone(t, "costly._domainkey.one.test. 60 TXT "+reference.TXT(reference.Record(s.Key)))
	for sets, want := range map[int]string{1: "pass Valid", 16: "pass Valid", 40: "fail TooCostly"} {
		text := message
		for range sets {
			text = reference.SealAll(text, s)
		}
		r := verify(t, z, text)
		if got := string(r.Code) + " " + strings.TrimPrefix(string(r.Reason), "arc."); got != want {
			t.Errorf("%d sets: got %s, want %s", sets, got, want)
		}
	}
	if r := verify(t, z, message); r.Code != arc.None {
		t.Errorf("no set: %s", outcome(r))
	}
}
