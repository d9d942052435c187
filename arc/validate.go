package arc

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"hash"
	"time"

	"postseal/dkim"
	"postseal/internal/core/bodyhash"
	"postseal/internal/core/canonical"
	"postseal/internal/core/shared"
	"postseal/internal/core/signature"
	"postseal/internal/core/tagvalue"
	"postseal/message"
	"postseal/resolver"
)

// expirySkew is the clock skew that is allowed, as for DKIM.
const expirySkew = 300 * time.Second

// Verifier validates chains. It is safe for concurrent use when its Resolver is.
type Verifier struct {
	Resolver resolver.Resolver // required
	Now      func() time.Time  // default time.Now
	// AllowPartialBody accepts an l= that leaves some of the body unsigned, but never l=0.
	AllowPartialBody bool
}

// Validation is the work on one message, which it takes as a message.Sink: the header fields,
// the end of the header section, the body with CRLF line endings. Finish gives the result. It
// is used by one goroutine.
type Validation struct {
	v      Verifier
	ctx    context.Context
	fields int
	sets   []*set // by instance, from 1
	fault  fault
	bodies *bodyhash.Set // nil until the header section has ended
	work   int           // of keys that were tried

	assumed canonical.Digests

	own      *shared.Sink // nil while package postseal drives
	finished *Result
}

// fault is the first thing that is wrong.
type fault struct {
	reason   Reason
	instance int
}

func (x *Validation) fail(reason Reason, instance int) {
	if x.fault.reason == "" {
		x.fault = fault{reason, instance}
	}
}

// Begin starts on a message; its lookups end with ctx. Without a Resolver no key is usable,
// and a chain fails.
func (v *Verifier) Begin(ctx context.Context) *Validation {
	x := &Validation{ctx: shared.Context(ctx)}
	if v != nil {
		x.v = *v
	}
	x.v.Resolver = shared.Resolver(x.v.Resolver)
	return x
}

// appendDigests appends the digest of each signature and seal of a chain without fault to dst.
func (x *Validation) appendDigests(dst []canonical.Digest) []canonical.Digest {
	for _, s := range x.sets {
		for _, k := range [...]kind{ams, seal} {
			if s.index[k] >= 0 {
				dst = append(dst, canonical.Digest{Field: s.index[k], Sum: s.digests[k]})
			}
		}
	}
	return dst
}

// field looks at the next header field. A key is asked for as the field that needs it
// arrives.
func (x *Validation) field(f message.Field) {
	index := x.fields
	x.fields++
	k, ok := kindOf(f)
	switch {
	case !ok:
	case k == aar:
		x.results(f, index)
	default:
		x.signature(f, k, index)
	}
}

func (x *Validation) results(f message.Field, index int) {
	n, payload, ok := tagvalue.SealedResults(f.Value())
	if !ok {
		x.fail(InvalidInstance, 0)
		return
	}
	if s := x.place(aar, n, index); s != nil {
		s.results = bytes.Clone(payload)
	}
}

func (x *Validation) signature(f message.Field, k kind, index int) {
	parsed, n, status, reason := parseSignature(string(f.Value()), k)
	if reason != "" {
		x.fail(reason, n)
	}
	if n == 0 {
		return
	}
	s := x.place(k, n, index)
	if s == nil {
		return
	}
	if k == seal {
		s.seal, s.status = parsed, status
	} else {
		s.signature = parsed
	}
	if reason == "" {
		signature.PrefetchKey(x.v.Resolver, parsed.Selector, parsed.Domain)
	}
}

// place puts a field into its set, nil when it has none.
func (x *Validation) place(k kind, n, index int) *set {
	if n > MaxSets {
		x.fail(TooManySets, n)
		return nil
	}
	for len(x.sets) < n {
		x.sets = append(x.sets, &set{index: [3]int{-1, -1, -1}})
	}
	s := x.sets[n-1]
	if s.index[k] >= 0 {
		x.fail(DuplicateField, n)
		return nil
	}
	s.index[k] = index
	return s
}

// endHeader checks the structure of the chain, hashes what the signatures and seals cover
// and asks for the body hashes. The section must hold the fields that field saw.
func (x *Validation) endHeader(section shared.Section) {
	h := section.Header
	x.bodies, x.assumed = section.Bodies, section.Digests
	if len(x.sets) == 0 && x.fault.reason == "" {
		return
	}
	x.structure()
	switch {
	case x.fault.reason != "":
		return
	case h.Len() < x.fields:
		x.fail(InternalError, 0)
		return
	}
	x.hash(h)
}

// structure: a newest cv=fail ends all (RFC 8617 §5.2 step 2). Else there is one field of
// each kind in every instance, cv=none in the first and cv=pass in the others (step 3).
func (x *Validation) structure() {
	if n := len(x.sets); n > 0 && x.sets[n-1].status == "fail" {
		x.fault = fault{ChainFailed, n}
		return
	}
	for i, s := range x.sets {
		want := "pass"
		if i == 0 {
			want = "none"
		}
		switch {
		case s.index[aar] < 0 || s.index[ams] < 0 || s.index[seal] < 0:
			x.fail(IncompleteSet, i+1)
		case s.status != want:
			x.fail(WrongChainStatus, i+1)
		}
	}
}

// hash goes over the sets once, oldest first. A seal covers all sets up to its own: their
// fields in order, its own last, without b= and the last CRLF (RFC 8617 §5.1.1).
func (x *Validation) hash(h *message.Header) {
	for _, s := range x.sets {
		s.body = x.bodies.Request(s.signature.BodyCanonical, s.signature.Length)
		s.digests[ams], s.digests[seal] = x.assumed[s.index[ams]], x.assumed[s.index[seal]]
	}
	if x.assumed != nil {
		return
	}
	index := canonical.NewIndex(h)
	chain := sha256.New()
	var buf []byte
	for _, s := range x.sets {
		s.digests[ams] = s.signature.HeaderDigest(index.Select(s.index[ams]), h.At(s.index[ams]))
		for _, k := range [...]kind{aar, ams} {
			buf = canonical.Relaxed(buf[:0], h.At(s.index[k]))
			chain.Write(buf)
		}
		own := h.At(s.index[seal])
		buf = canonical.Relaxed(buf[:0], canonical.WithoutTag(own, "b"))
		s.digests[seal] = sumWith(chain, buf[:len(buf)-2])
		buf = canonical.Relaxed(buf[:0], own)
		chain.Write(buf)
	}
}

// sumWith is the hash of what h has taken so far and p, and leaves h as it is.
func sumWith(h hash.Hash, p []byte) (sum [sha256.Size]byte) {
	clone, err := h.(hash.Cloner).Clone()
	if err != nil {
		panic(err) // SHA-256 of the standard library can be cloned
	}
	clone.Write(p)
	clone.Sum(sum[:0])
	return sum
}

// finish ends the body and validates the chain (RFC 8617 §5.2).
func (x *Validation) finish() Result {
	if len(x.sets) == 0 && x.fault.reason == "" {
		return Result{Code: None, Reason: NoChain}
	}
	r := x.describe()
	if x.bodies == nil {
		x.fail(InternalError, 0)
	} else {
		x.bodies.Close()
	}
	if x.fault.reason == "" {
		x.verify(&r)
	}
	if x.fault.reason != "" {
		r.Code, r.Reason, r.Instance, r.OldestPass = Fail, x.fault.reason, x.fault.instance, 0
		r.Problem = problems[r.Reason]
		if r.Instance > 0 {
			r.Problem = fmt.Sprintf("i=%d: %s", r.Instance, r.Problem)
		}
	}
	return r
}

func (x *Validation) describe() Result {
	r := Result{Code: Pass, Reason: Valid, Instances: len(x.sets)}
	for _, s := range x.sets {
		var sealer Sealer
		if s.seal != nil {
			sealer = Sealer{string(s.seal.Domain), string(s.seal.Selector)}
		}
		r.Sealers, r.Results = append(r.Sealers, sealer), append(r.Results, s.results)
	}
	if len(x.sets) == 0 {
		return r
	}
	newest := x.sets[len(x.sets)-1]
	if newest.signature != nil {
		r.Signed = newest.signature.Names
	}
	if newest.seal != nil && newest.seal.Timestamp >= 0 {
		r.SealedAt = time.Unix(newest.seal.Timestamp, 0).UTC()
	}
	return r
}

// verify checks the newest signature, then how far back the others still hold, then every
// seal from the newest on (RFC 8617 §5.2 steps 4 to 6).
func (x *Validation) verify(r *Result) {
	n := len(x.sets)
	if reason := x.signatureHolds(x.sets[n-1]); reason != "" {
		x.fail(reason, n)
		return
	}
	for i := n; i >= 1; i-- {
		s := x.sets[i-1]
		if reason := x.checks(s.seal, s.digests[seal][:], SealMismatch); reason != "" {
			x.fail(reason, i)
			return
		}
	}
	for i := n - 1; i >= 1 && r.OldestPass == 0; i-- {
		if x.signatureHolds(x.sets[i-1]) != "" {
			r.OldestPass = i + 1
		}
	}
}

// signatureHolds says why an ARC-Message-Signature does not verify, "" when it does.
func (x *Validation) signatureHolds(s *set) Reason {
	now := time.Now
	if x.v.Now != nil {
		now = x.v.Now
	}
	f := s.signature
	if f.Expiration >= 0 && now().Add(-expirySkew).Unix() > f.Expiration {
		return Expired
	}
	sum, inside := x.bodies.Sum(s.body)
	if !inside || subtle.ConstantTimeCompare(sum[:], f.BodyHash) != 1 {
		return BodyHashMismatch
	}
	covered := f.Length == bodyhash.NoLimit || f.Length == x.bodies.Length(s.body)
	if !covered && (f.Length == 0 || !x.v.AllowPartialBody) {
		return BodyNotCovered
	}
	return x.checks(f, s.digests[ams][:], SignatureMismatch)
}

// maxWork bounds the work of all keys of a chain, see signature.Key.Work: 50 sets with RSA keys of
// 2048 bits have 7600, with keys of Ed25519 8000.
const maxWork = 8000

// checks verifies with any of the keys; a key that is not to be had is a failure, not a
// temporary error (RFC 8617 §5.2.1).
func (x *Validation) checks(f *signature.Field, digest []byte, mismatch Reason) Reason {
	keys, err := signature.LookupKey(x.ctx, x.v.Resolver, f.Selector, f.Domain)
	if err != nil {
		return KeyUnusable
	}
	reason := KeyUnusable
	for _, k := range keys {
		if k.Usable(f.Algorithm, f.Domain, f.Domain, dkim.DefaultKeyBits) != "" {
			continue
		}
		if x.work += k.Work(); x.work > maxWork {
			return TooCostly
		}
		if k.Verifies(digest, f.B) {
			return ""
		}
		reason = mismatch
	}
	return reason
}
