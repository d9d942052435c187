package dkim

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"math"
	"slices"
	"strings"
	"time"

	"postseal/internal/core/bodyhash"
	"postseal/internal/core/canonical"
	"postseal/internal/core/middleware"
	"postseal/internal/core/reason"
	"postseal/internal/core/shared"
	"postseal/internal/core/signature"
	"postseal/internal/core/tagvalue"
	"postseal/message"
	"postseal/resolver"
)

// Limits bound the work for one message. A zero or negative field takes its default.
type Limits struct {
	Signatures   int // that are evaluated, 10; the rest is policy
	SignedFields int // names in h=, 1000
	KeyBits      int // of an RSA key, 8192
	KeyWork      int // of all keys that are tried, 10000, of which an RSA key of 2048 bits takes 76 and one of Ed25519 80; the rest is policy
}

// The defaults of Limits.
const (
	DefaultSignatures   = 10
	DefaultSignedFields = 1000
	DefaultKeyBits      = 8192
	defaultKeyWork      = 10000
)

func (l Limits) orDefault() Limits {
	return Limits{
		Signatures:   cmp.Or(max(l.Signatures, 0), DefaultSignatures),
		SignedFields: cmp.Or(max(l.SignedFields, 0), DefaultSignedFields),
		KeyBits:      cmp.Or(max(l.KeyBits, 0), DefaultKeyBits),
		KeyWork:      cmp.Or(max(l.KeyWork, 0), defaultKeyWork),
	}
}

// maxParsed is how many signatures are read. Of those below only the ones of the author's
// organization are, and as many again; each further one is listed, and that is all.
const maxParsed = 200

// Allowed clock skew: RFC 6376 §3.5 permits some.
const (
	expirySkew = 300 * time.Second
	futureSkew = time.Hour
)

// Verifier verifies the signatures of messages. It is safe for concurrent use when its
// Resolver is.
type Verifier struct {
	Resolver resolver.Resolver // required
	Now      func() time.Time  // default time.Now
	Limits   Limits
	// AllowPartialBody accepts an l= that leaves some of the body unsigned. An l=0 is never
	// accepted (RFC 6376 §8.2).
	AllowPartialBody bool
}

// Verification is the work on one message, which it takes as a message.Sink: the header fields,
// the end of the header section, the body with CRLF line endings. Finish gives the results. It
// is used by one goroutine.
type Verification struct {
	v          Verifier
	ctx        context.Context
	limits     Limits
	fields     int
	prefetched int
	work       int // of keys that were tried
	signatures []candidate
	late       []int         // fields of signatures below the first maxParsed that are not read
	bodies     *bodyhash.Set // nil until the header section has ended
	assumed    canonical.Digests

	own      *shared.Sink // nil while package postseal drives
	finished []Result
}

// candidate is a signature on its way to a result.
type candidate struct {
	Result
	field   signature.Field
	keyName string
	chosen  bool
	own     bool // of the author's organization
	body    int  // index in bodies
	digest  [sha256.Size]byte
}

// Begin starts on a message; its lookups end with ctx. Without a Resolver every key is
// unavailable.
func (v *Verifier) Begin(ctx context.Context) *Verification {
	x := &Verification{ctx: shared.Context(ctx)}
	if v != nil {
		x.v = *v
	}
	x.v.Resolver, x.limits = shared.Resolver(x.v.Resolver), x.v.Limits.orDefault()
	return x
}

// appendDigests appends the digest of each signature that was evaluated to dst.
func (x *Verification) appendDigests(dst []canonical.Digest) []canonical.Digest {
	for i := range x.signatures {
		if s := &x.signatures[i]; s.chosen {
			dst = append(dst, canonical.Digest{Field: s.FieldIndex, Sum: s.digest})
		}
	}
	return dst
}

// field looks at the next header field. The key of a signature is asked for at once.
func (x *Verification) field(f message.Field) {
	index := x.fields
	x.fields++
	if !f.Is("DKIM-Signature") {
		return
	}
	if len(x.signatures) == maxParsed {
		x.late = append(x.late, index) // endHeader decides
		return
	}
	s := x.add(index)
	if x.read(s, f); s.Code != "" {
		return
	}
	if x.prefetched < x.limits.Signatures {
		x.prefetched++
		middleware.Prefetch(x.v.Resolver, s.keyName, resolver.TXT)
	}
}

// read parses the field of s.
func (x *Verification) read(s *candidate, f message.Field) {
	syntax := s.field.Parse(string(f.Value()))
	s.describe()
	if syntax != nil {
		s.end(syntaxResult(Reason(syntax.Reason)), Reason(syntax.Reason), syntax.Error())
		return
	}
	if len(s.field.Names) > x.limits.SignedFields {
		s.end(Policy, TooManyFields, "h= names too many fields")
		return
	}
	s.keyName = signature.KeyName(s.field.Selector, s.field.Domain)
}

func (x *Verification) add(index int) *candidate {
	x.signatures = append(x.signatures, candidate{})
	s := &x.signatures[len(x.signatures)-1]
	s.FieldIndex, s.BodyLength = index, -1
	return s
}

// syntaxResult is neutral for a field that cannot be read, permerror for one that can and
// breaks a rule (RFC 8601 §2.7.1).
func syntaxResult(r Reason) Code {
	if r == Malformed || r == MissingTag {
		return Neutral
	}
	return PermError
}

func (s *candidate) end(result Code, reason Reason, problem string) {
	s.Code, s.Reason, s.Problem = result, reason, problem
}

// describe fills in what the field says.
func (s *candidate) describe() {
	f := &s.field
	s.Domain, s.Selector, s.AUID, s.Algorithm = string(f.Domain), string(f.Selector), f.AUID, f.Algorithm
	if s.Domain != "" || s.Selector != "" || s.Algorithm != "" { // else the list could not be read, and c= is not a default
		s.Canonicalization = canonicalNames[f.HeaderCanonical][f.BodyCanonical]
	}
	s.BodyLength = f.Length
	if f.Timestamp >= 0 && f.Timestamp < math.MaxInt32*100 {
		s.Timestamp = time.Unix(f.Timestamp, 0).UTC()
	}
	if f.Expiration >= 0 && f.Expiration < math.MaxInt32*100 {
		s.Expiration = time.Unix(f.Expiration, 0).UTC()
	}
}

// canonicalNames are the values of c= by header and body.
var canonicalNames = [2][2]string{
	bodyhash.Simple:  {bodyhash.Simple: "simple/simple", bodyhash.Relaxed: "simple/relaxed"},
	bodyhash.Relaxed: {bodyhash.Simple: "relaxed/simple", bodyhash.Relaxed: "relaxed/relaxed"},
}

// endHeader chooses the signatures to evaluate, those of the author's organization first,
// hashes their header fields and asks for the body hashes. The section must hold the fields
// that field saw.
func (x *Verification) endHeader(section shared.Section) {
	h, author := section.Header, section.Authors
	x.bodies, x.assumed = section.Bodies, section.Digests
	x.readLate(h, author)
	left := x.limits.Signatures
	if len(x.signatures) > 1 { // else there is nothing to put first
		for i := range x.signatures {
			s := &x.signatures[i]
			s.own = s.Code == "" && related(s.field.Domain, author)
		}
	}
	if len(x.signatures) > left { // else there is nothing to choose
		x.choose(&left, func(s *candidate) bool { return s.own })
	}
	x.choose(&left, func(*candidate) bool { return true })
	x.hash(h)
}

func (x *Verification) hash(h *message.Header) {
	var index *canonical.Index
	for i := range x.signatures {
		s := &x.signatures[i]
		if !s.chosen {
			continue
		}
		if s.FieldIndex >= h.Len() {
			s.end(PermError, InternalError, "the header section is not the one that was seen")
			s.chosen = false
			continue
		}
		s.body = x.bodies.Request(s.field.BodyCanonical, s.field.Length)
		if x.assumed != nil {
			s.digest = x.assumed[s.FieldIndex]
			continue
		}
		if index == nil {
			index = canonical.NewIndex(h)
		}
		s.digest = s.field.HeaderDigest(index.Select(s.FieldIndex), h.At(s.FieldIndex))
	}
}

// finish ends the body and evaluates the signatures.
func (x *Verification) finish() []Result {
	if x.bodies != nil {
		x.bodies.Close()
	}
	now := time.Now
	if x.v.Now != nil {
		now = x.v.Now
	}
	for _, own := range [...]bool{true, false} {
		for i := range x.signatures {
			s := &x.signatures[i]
			switch {
			case s.chosen && s.own == own:
				x.evaluate(s, now())
			case !s.chosen && s.Code == "":
				s.end(TempError, InternalError, headerOpen)
			}
		}
	}
	return x.results()
}

// evaluate is RFC 6376 §6.1.2 and §6.1.3.
func (x *Verification) evaluate(s *candidate, now time.Time) {
	f := &s.field
	if f.Expiration >= 0 && now.Add(-expirySkew).Unix() > f.Expiration {
		s.end(PermError, Expired, "x= has expired")
		return
	}
	sum, inside := x.bodies.Sum(s.body)
	if !inside {
		s.end(PermError, LimitBeyondBody, "l= is more than the body has")
		return
	}
	s.CoveredAll = f.Length == bodyhash.NoLimit || f.Length == x.bodies.Length(s.body)
	sameBody := subtle.ConstantTimeCompare(sum[:], f.BodyHash) == 1
	set, err := signature.LookupKeys(x.ctx, x.v.Resolver, s.keyName)
	if err != nil {
		s.noKey(err, sameBody)
		return
	}
	x.try(s, set.Keys, sameBody)
	if s.Code == Pass {
		x.accept(s, now)
	}
}

// noKey: a body that does not match fails whatever the key may be.
func (s *candidate) noKey(err error, sameBody bool) {
	var syntax *signature.SyntaxError
	var failure *resolver.Error
	switch {
	case errors.Is(err, signature.ErrNoKey):
		s.end(PermError, KeyMissing, "no key record at "+reason.Quote(s.keyName))
	case errors.As(err, &syntax):
		s.end(PermError, KeyMalformed, "key record, "+syntax.Error())
	case !sameBody:
		s.end(Fail, BodyHashMismatch, "the body changed after signing")
	case resolver.KindOf(err) == resolver.OverBudget:
		s.end(PermError, BudgetSpent, "the keys of the message ask more of the DNS than is spent on one message")
	case errors.As(err, &failure):
		s.end(TempError, KeyUnavailable, failure.Error())
	default:
		s.end(TempError, KeyUnavailable, "the key could not be looked up")
	}
}

// try takes the first key that verifies, else the outcome of the first.
func (x *Verification) try(s *candidate, keys []*signature.Key, sameBody bool) {
	for _, k := range keys {
		result, reason, problem := Pass, Valid, ""
		switch unusable := k.Usable(s.field.Algorithm, s.field.Identity, s.field.Domain, x.limits.KeyBits); {
		case unusable != "":
			result, reason, problem = PermError, Reason(unusable), keyProblems[Reason(unusable)]
		case !sameBody:
			result, reason, problem = Fail, BodyHashMismatch, "the body changed after signing"
		case !x.affords(k):
			result, reason, problem = Policy, KeyTooCostly, "the keys of the message cost more than is spent on one message"
		case !k.Verifies(s.digest[:], s.field.B):
			result, reason, problem = Fail, SignatureMismatch, "a signed header field changed, or the key is not the signer's"
		}
		if s.Code == "" || result == Pass {
			s.end(result, reason, problem)
			s.KeyBits, s.TestMode = k.Bits, k.TestMode
		}
		if result == Pass {
			return
		}
	}
}

// affords counts the work of a key that is tried. Those of the author come first, so that
// no other key can use it up.
func (x *Verification) affords(k *signature.Key) bool {
	work := k.Work()
	if x.work+work > x.limits.KeyWork {
		return false
	}
	x.work += work
	return true
}

var keyProblems = map[Reason]string{
	KeyRevoked:        "the key is revoked",
	KeyTypeMismatch:   "the key is of another type than the signature",
	KeyHashForbidden:  "the key does not allow SHA-256",
	KeyNotForEmail:    "the key is not for email",
	KeyStrictIdentity: "the key wants i= to be d= itself",
	KeyTooShort:       "the key has less than 1024 bits",
	KeyTooLong:        "the key is longer than is accepted",
}

// accept applies the local rules to a signature that verified.
func (x *Verification) accept(s *candidate, now time.Time) {
	f := &s.field
	switch {
	case !s.CoveredAll && (f.Length == 0 || !x.v.AllowPartialBody):
		s.end(Policy, BodyNotCovered, "l= leaves part of the body unsigned")
	case f.Timestamp >= 0 && f.Timestamp > now.Add(futureSkew).Unix():
		s.end(Policy, InFuture, "t= is in the future")
	case signature.IsPublicSuffix(f.Domain):
		s.end(Policy, PublicSuffix, "d= is a public suffix")
	}
}

// results cuts each b= to what tells it apart from the others, 8 octets at least (RFC 6008
// §4). They are in the order of the fields.
func (x *Verification) results() []Result {
	all := make([]Result, 0, len(x.signatures)+len(x.late))
	shown := distinct(x.signatures)
	late := x.late
	for i := range x.signatures {
		s := &x.signatures[i]
		for len(late) > 0 && late[0] < s.FieldIndex {
			all, late = append(all, x.unread(late[0])), late[1:]
		}
		s.B = shown[i]
		s.SignedFields = s.field.Names
		all = append(all, s.Result)
	}
	for _, index := range late {
		all = append(all, x.unread(index))
	}
	return all
}

// unread is the result of a signature that was not read.
func (x *Verification) unread(index int) Result {
	r := Result{FieldIndex: index, BodyLength: -1, Code: Policy, Reason: TooManySignatures, Problem: "more signatures than are read"}
	if x.bodies == nil {
		r.Code, r.Reason, r.Problem = TempError, InternalError, headerOpen
	}
	return r
}

// headerOpen is the Problem of a message that ended within its header section.
const headerOpen = "the header section did not end"

// Octets of b= that are shown.
const (
	minB = 8
	maxB = 64
)

// distinct is the beginning of each b= that no other has. In their order, each value has most in
// common with one next to it.
func distinct(signatures []candidate) []string {
	values := make([]string, len(signatures))
	order := make([]int, len(signatures))
	for i := range signatures {
		values[i], order[i] = firstOctets(signatures[i].field.BText, maxB), i
	}
	slices.SortFunc(order, func(a, b int) int { return strings.Compare(values[a], values[b]) })
	shown := make([]string, len(values))
	for k, i := range order {
		n := minB
		if k > 0 {
			n = max(n, common(values[order[k-1]], values[i])+1)
		}
		if k+1 < len(order) {
			n = max(n, common(values[i], values[order[k+1]])+1)
		}
		shown[i] = values[i][:min(n, len(values[i]))]
	}
	return shown
}

// common is how many octets two values begin with alike.
func common(a, b string) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// firstOctets returns the first octets of a value that are not white space.
func firstOctets(value string, most int) string {
	if n := min(most, len(value)); !strings.ContainsAny(value[:n], " \t\r\n") {
		return value[:n]
	}
	b := make([]byte, 0, most)
	for i := 0; i < len(value) && len(b) < most; i++ {
		if !tagvalue.IsFWS(value[i]) {
			b = append(b, value[i])
		}
	}
	return string(b)
}
