package arc

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"io"
	"time"

	"postseal/dkim"
	"postseal/internal/bodyhash"
	"postseal/internal/canonical"
	"postseal/internal/domain"
	"postseal/message"
	"postseal/resolver"
)

// expirySkew is the clock skew that is let pass, as for DKIM.
const expirySkew = 300 * time.Second

// Verifier validates chains. It is safe for concurrent use when its Resolver is.
type Verifier struct {
	Resolver resolver.Resolver // required
	Now      func() time.Time  // default time.Now
}

// Validation is the work on one message: Field for each header field, Header, the body
// into the bodyhash.Set, Finish.
type Validation struct {
	v      Verifier
	ctx    context.Context
	fields int
	sets   []*set // by instance, from 1
	fault  fault
	header *message.Header
	bodies *bodyhash.Set
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

// Begin starts on a message; its lookups end with ctx.
func (v *Verifier) Begin(ctx context.Context) *Validation { return &Validation{v: *v, ctx: ctx} }

// Field looks at the next header field. The keys of a set are asked for at once.
func (x *Validation) Field(f message.Field) {
	index := x.fields
	x.fields++
	k, ok := kindOf(f)
	if !ok {
		return
	}
	if k == aar {
		n, rest, ok := parseInstance(f.Value())
		if !ok {
			x.fail(InvalidInstance, 0)
			return
		}
		if s := x.place(k, n, index); s != nil {
			s.results = rest
		}
		return
	}
	parsed, reason := parseSignature(string(f.Value()), k)
	if reason != "" {
		x.fail(reason, parsed.instance)
		if parsed.instance == 0 {
			return
		}
	}
	s := x.place(k, parsed.instance, index)
	if s == nil {
		return
	}
	if k == ams {
		s.signature = parsed
	} else {
		s.seal = parsed
	}
	if reason == "" {
		resolver.Prefetch(x.v.Resolver, string(parsed.selector)+"._domainkey."+string(parsed.d), resolver.TXT)
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

// Header ends the header section: it checks the structure of the chain, hashes what the
// signatures cover and asks bodies for the body hashes. h must hold the fields that Field
// saw.
func (x *Validation) Header(h *message.Header, bodies *bodyhash.Set) {
	x.header, x.bodies = h, bodies
	if len(x.sets) == 0 && x.fault.reason == "" {
		return
	}
	x.structure()
	if x.fault.reason != "" || h.Len() < x.fields {
		return
	}
	index := canonical.NewIndex(h)
	var buf []byte
	for _, s := range x.sets {
		s.body = bodies.Request(s.signature.body, s.signature.length)
		buf = s.hash(index.Select(s.index[ams]), h.At(s.index[ams]), buf[:0])
	}
}

// structure: one field of each kind in every instance, cv=none in the first, cv=pass in
// the others (RFC 8617 §5.2 step 3). A newest cv=fail goes first (step 2).
func (x *Validation) structure() {
	if n := len(x.sets); n > 0 && x.sets[n-1].seal != nil && x.sets[n-1].seal.chain == "fail" {
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
		case s.seal == nil || s.signature == nil:
			x.fail(Malformed, i+1)
		case s.seal.chain != want:
			x.fail(WrongChainStatus, i+1)
		}
	}
}

// hash is the header hash of an ARC-Message-Signature, made as for DKIM (RFC 8617
// §4.1.2).
func (s *set) hash(fields *canonical.Selection, own message.Field, buf []byte) []byte {
	form := canonical.Simple
	if s.signature.header == bodyhash.Relaxed {
		form = canonical.Relaxed
	}
	h := sha256.New()
	for _, name := range s.signature.names {
		if f, ok := fields.Next(name); ok {
			buf = form(buf[:0], f)
			h.Write(buf)
		}
	}
	buf = form(buf[:0], canonical.WithoutTag(own, "b"))
	h.Write(buf[:len(buf)-2])
	h.Sum(s.digest[:0])
	return buf
}

// Finish ends the body and validates the chain (RFC 8617 §5.2). It waits for the keys.
func (x *Validation) Finish() Result {
	if x.bodies != nil {
		x.bodies.Close()
	}
	r := x.describe()
	switch {
	case r.Code == None:
		return r
	case x.fault.reason == "":
		x.verify(&r)
	}
	if x.fault.reason != "" {
		r.Code, r.Reason, r.Instance = Fail, x.fault.reason, x.fault.instance
		if r.Problem == "" {
			r.Problem = fmt.Sprintf("instance %d of %d", r.Instance, r.Instances)
		}
	}
	return r
}

func (x *Validation) describe() Result {
	r := Result{Code: None, Reason: NoChain, Instances: len(x.sets)}
	if x.fault.reason == "" && len(x.sets) == 0 {
		return r
	}
	r.Code, r.Reason = Pass, Valid
	for _, s := range x.sets {
		d, selector := "", ""
		if s.seal != nil {
			d, selector = string(s.seal.d), string(s.seal.selector)
		}
		r.Sealers, r.Selectors, r.Results = append(r.Sealers, d), append(r.Selectors, selector), append(r.Results, s.results)
	}
	if x.header == nil {
		x.fail(InternalError, 0)
	}
	return r
}

// verify checks the newest signature, then every seal from the newest on, and how far back
// the signatures still hold.
func (x *Validation) verify(r *Result) {
	n := len(x.sets)
	if reason := x.signatureHolds(x.sets[n-1]); reason != "" {
		x.fail(reason, n)
		return
	}
	for i := n; i >= 1; i-- {
		if reason := x.sealHolds(i); reason != "" {
			x.fail(reason, i)
			return
		}
	}
	for i := n - 1; i >= 1; i-- {
		if x.signatureHolds(x.sets[i-1]) != "" {
			r.OldestPass = i + 1
			return
		}
	}
}

func (x *Validation) signatureHolds(s *set) Reason {
	now := time.Now
	if x.v.Now != nil {
		now = x.v.Now
	}
	if e := s.signature.expiration; e >= 0 && now().Add(-expirySkew).Unix() > e {
		return Expired
	}
	sum, inside := x.bodies.Sum(s.body)
	if !inside || subtle.ConstantTimeCompare(sum[:], s.signature.bodyHash) != 1 {
		return BodyHashMismatch
	}
	return x.checks(s.signature, s.digest[:], SignatureMismatch)
}

// sealHolds checks ARC-Seal i over all sets up to its own, in order, its own seal last and
// without b= (RFC 8617 §5.1.1).
func (x *Validation) sealHolds(i int) Reason {
	h := sha256.New()
	var buf []byte
	for j := 1; j <= i; j++ {
		for k := aar; k <= seal; k++ {
			f := x.header.At(x.sets[j-1].index[k])
			if j == i && k == seal {
				buf = canonical.Relaxed(buf[:0], canonical.WithoutTag(f, "b"))
				h.Write(buf[:len(buf)-2])
				continue
			}
			buf = canonical.Relaxed(buf[:0], f)
			h.Write(buf)
		}
	}
	return x.checks(x.sets[i-1].seal, h.Sum(nil), SealMismatch)
}

// checks verifies with any of the keys; a key that is not to be had is a failure, not a
// temporary error (RFC 8617 §5.2.1).
func (x *Validation) checks(s *signature, digest []byte, mismatch Reason) Reason {
	keys, err := dkim.LookupKey(x.ctx, x.v.Resolver, s.selector, s.d)
	if err != nil {
		return KeyUnusable
	}
	reason := KeyUnusable
	for _, k := range keys {
		if k.Usable(s.algorithm, s.d, s.d, dkim.DefaultKeyBits) != "" {
			continue
		}
		if k.Verifies(digest, s.b) {
			return ""
		}
		reason = mismatch
	}
	return reason
}

// Verify validates the chain of a whole message with CRLF line ends. The error is that of
// r, or a *message.LimitError.
func (v *Verifier) Verify(ctx context.Context, r io.Reader) (Result, error) {
	s := &sink{validation: v.Begin(ctx)}
	if err := message.Stream(s, r, message.Limits{}); err != nil {
		return Result{Code: Fail, Reason: Malformed}, err
	}
	return s.validation.Finish(), nil
}

type sink struct {
	validation *Validation
	header     message.Header
	bodies     bodyhash.Set
}

func (s *sink) Field(f message.Field) error {
	s.header.Add(f)
	s.validation.Field(f)
	return nil
}

func (s *sink) EndHeader() error {
	s.validation.Header(&s.header, &s.bodies)
	return nil
}

func (s *sink) Write(p []byte) (int, error) { return s.bodies.Write(p) }

// SealedBy reports whether the newest sealer is d.
func (r *Result) SealedBy(d domain.Name) bool {
	return len(r.Sealers) > 0 && r.Sealers[len(r.Sealers)-1] == string(d)
}
