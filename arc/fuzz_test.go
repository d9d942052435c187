package arc_test

import (
	"math/rand/v2"
	"strings"
	"testing"

	"postseal/arc"
	"postseal/lab/reference"
)

// FuzzFields: no fields panic, and unsigned ones never pass.
func FuzzFields(f *testing.F) {
	for _, seed := range [][3]string{
		{" i=1; a=rsa-sha256; cv=none; d=one.test; s=s; b=AAAA", " i=1; a=rsa-sha256; d=one.test; s=s; h=from; bh=AAAA; b=AAAA", " i=1; mx"},
		{" i=50;cv=fail", "i=0", " (\\"}, {"", "", ""}, {" i=1; h=", " l=999999999999999999999", " (((i)=1)"}, {" i=1;i=1", " c=/", " i=1(;"},
	} {
		f.Add(seed[0], seed[1], seed[2])
	}
	z := zone(f)
	f.Fuzz(func(t *testing.T, seal, signature, results string) {
		clean := strings.NewReplacer("\r", "", "\n", "\r\n ")
		text := "ARC-Seal:" + clean.Replace(seal) + "\r\nARC-Message-Signature:" + clean.Replace(signature) + "\r\nARC-Authentication-Results:" + clean.Replace(results) + "\r\n" + message
		r := verify(t, z, text)
		if r.Code != arc.Fail || r.Reason == "" || r.Problem == "" || r.Instances > arc.MaxSets || len(r.Sealers) != r.Instances || len(r.Results) != r.Instances {
			t.Errorf("%+v", r)
		}
	})
}

// FuzzChain: what lab/reference seals passes, and one octet more in the body does not.
func FuzzChain(f *testing.F) {
	f.Add(" x", "a \r\n\r\n", " one.test; none", uint64(1))
	f.Add("\t\xff", "", "", uint64(2))
	z := zone(f)
	f.Fuzz(func(t *testing.T, subject, body, results string, seed uint64) {
		clean := strings.NewReplacer("\r", "", "\n", "\r\n ")
		random := rand.New(rand.NewPCG(seed, 0))
		text := "From: a@acme.test\r\nSubject: x" + strings.TrimSuffix(clean.Replace(subject), "\r\n ") + "\r\n\r\n" + body
		for range 1 + random.IntN(4) {
			s := set(t, []string{"one.test", "two.test", "three.test"}[random.IntN(3)])
			if s.Domain == "one.test" && random.IntN(20) > 0 { // an RSA signature takes long
				s = set(t, "four.test")
			}
			s.Results = "x" + strings.TrimSuffix(clean.Replace(results), "\r\n ")
			s.Message = canonical([]string{"simple", "relaxed"}[random.IntN(2)], []string{"simple", "relaxed"}[random.IntN(2)])
			text = reference.SealAll(text, s)
		}
		if r := verify(t, z, text); r.Code != arc.Pass || r.OldestPass != 0 {
			t.Errorf("%q: %+v", text, r)
		}
		if r := verify(t, z, text+"x"); r.Code != arc.Fail || r.Reason != arc.BodyHashMismatch {
			t.Errorf("%q and an octet more: %+v", text, r)
		}
	})
}
