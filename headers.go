package postseal

import (
	"slices"
	"strconv"
	"strings"

	"postseal/arc"
	"postseal/authres"
	"postseal/dkim"
	"postseal/message"
	"postseal/spf"
)

// headerChanges lists the forged fields to remove, highest instance first (RFC 8601
// §5), and the fields to add.
func (t *Transaction) headerChanges(r *Report) HeaderChanges {
	id := t.v.config.AuthservID
	var field verdictField
	field.fill(r, id)
	end := aboveRelay(r)
	return HeaderChanges{Add: []HeaderField{
		{Name: "Authentication-Results", Value: field.Value()},
		{Name: "X-Postseal-Verdict", Value: " " + string(r.Decision.Applied) + "; ref=" + r.Ref},
	}, Remove: append(t.late.highestFirst(), forgedFields(r.Header, t.v.config.ids(), func(i int) bool { return isRelayResult(r, i, end) })...)}
}

// ids are the authserv-ids that no client may use: our own first.
func (c *Config) ids() []string { return append([]string{c.AuthservID}, c.RelayResults...) }

// ForgedFields names the fields of h that claim to come from a verifier with one of these
// authserv-ids, highest instance first (RFC 8601 §5).
func ForgedFields(h *message.Header, authservIDs ...string) []HeaderRef {
	return forgedFields(h, authservIDs, func(int) bool { return false })
}

// forgedFields does so, but for the fields that are genuine.
func forgedFields(h *message.Header, ids []string, genuine func(i int) bool) []HeaderRef {
	refs := []HeaderRef{}
	var instances map[string]int // by name, from the first field on, once one is forged
	for i := range h.Len() {
		f := h.At(i)
		isForged := authres.Forged(f, ids) && !genuine(i)
		if isForged && instances == nil {
			instances = countNames(h, i)
		}
		if instances == nil {
			continue
		}
		name := string(f.Name())
		key := strings.ToLower(name)
		instances[key]++
		if isForged {
			refs = append(refs, HeaderRef{name, instances[key]})
		}
	}
	slices.Reverse(refs)
	return refs
}

// lateFields judges the fields beyond a limit of the header section, which are not stored: in
// observe mode such a message passes, and must not bring results in our name along.
type lateFields struct {
	counts map[string]int // by name, with those of the stored fields
	refs   []HeaderRef    // in the order of the message
	beyond bool           // there are more
}

// maxLate bounds the fields that are listed; no mode lets a message with more of them pass.
const maxLate = 10_000

func (l *lateFields) see(f message.Field, stored *message.Header, ids []string) {
	if !f.Is("Authentication-Results") && !f.Is("Received-SPF") && !authres.Forged(f, nil) {
		return
	}
	if len(l.refs) >= maxLate || len(l.counts) >= maxLate {
		l.beyond = true
		return
	}
	if l.counts == nil {
		l.counts = countNames(stored, stored.Len())
	}
	name := string(f.Name())
	key := strings.ToLower(name)
	l.counts[key]++
	if authres.Forged(f, ids) {
		l.refs = append(l.refs, HeaderRef{name, l.counts[key]})
	}
}

func (l *lateFields) highestFirst() []HeaderRef {
	refs := slices.Clone(l.refs)
	slices.Reverse(refs)
	return refs
}

// countNames counts the first n fields by name.
func countNames(h *message.Header, n int) map[string]int {
	counts := map[string]int{}
	for i := range n {
		counts[strings.ToLower(string(h.At(i).Name()))]++
	}
	return counts
}

// verdictField is the Authentication-Results field on its way.
type verdictField struct {
	authres.Field
	properties []authres.Property // of all results
}

func (f *verdictField) result(method, value string) *authres.Result {
	f.Results = append(f.Results, authres.Result{Method: method, Value: value})
	return &f.Results[len(f.Results)-1]
}

// property adds to the last result, unless there is no value.
func (f *verdictField) property(kind, name, value string) {
	if value == "" {
		return
	}
	f.properties = append(f.properties, authres.Property{Type: kind, Name: name, Value: value})
	last, n := &f.Results[len(f.Results)-1], len(f.properties)
	last.Properties = f.properties[n-1-len(last.Properties) : n : n]
}

// maxSignatures is how many DKIM signatures are named. The first to go are those that say least
// of the author, so that no number of junk signatures hides what the verdict rests on.
const maxSignatures = 20

// fill makes an empty f the one Authentication-Results field of the verdict (RFC 8601 §2.2).
// DMARC comes first: a reader that stops early has read what counts.
func (f *verdictField) fill(r *Report, id string) {
	f.AuthservID = id
	f.Results, f.properties = make([]authres.Result, 0, 4+len(r.DKIM)), make([]authres.Property, 0, 5+4*len(r.DKIM))
	f.dmarc(r)
	f.spf(r)
	f.signatures(r)
	f.arc(r)
	if r.IPRev != nil {
		f.result("iprev", string(r.IPRev.Code))
		f.property("policy", "iprev", r.RemoteIP().String())
	}
}

// signatures names the signatures in the order of the message; of more than maxSignatures those
// that rank highest, with a note of how many are omitted.
func (f *verdictField) signatures(r *Report) {
	if len(r.DKIM) == 0 {
		f.result("dkim", "none")
		return
	}
	if len(r.DKIM) <= maxSignatures {
		for i := range r.DKIM {
			f.dkim(&r.DKIM[i])
		}
		return
	}
	ranks := make([]int, len(r.DKIM))
	order := make([]int, len(r.DKIM))
	for i := range order {
		order[i], ranks[i] = i, signatureRank(r, &r.DKIM[i])
	}
	slices.SortStableFunc(order, func(a, b int) int { return ranks[a] - ranks[b] })
	order = order[:maxSignatures]
	slices.Sort(order)
	for _, i := range order {
		f.dkim(&r.DKIM[i])
	}
	f.Results[len(f.Results)-1].Comment = strconv.Itoa(len(r.DKIM)-maxSignatures) + " more signatures not listed"
}

// signatureRank is lower for a signature that says more of the author: aligned and passing,
// passing, aligned, any other.
func signatureRank(r *Report, s *dkim.Result) int {
	rank := 3
	if s.Code == dkim.Pass {
		rank -= 2
	}
	if r.SameOrganization(s.Domain) {
		rank--
	}
	return rank
}

// spf names the domain and never the local part (RFC 8601 §2.7.2).
func (f *verdictField) spf(r *Report) {
	if len(r.SPF) == 0 {
		return
	}
	s := &r.SPF[0]
	name := "mailfrom"
	if s.Identity == spf.Helo || r.ReversePath == "" {
		name = "helo"
	}
	f.result("spf", string(s.Code))
	f.property("smtp", name, s.Domain[strings.LastIndexByte(s.Domain, '@')+1:]) // a HELO name may hold an "@"
}

func (f *verdictField) dkim(s *dkim.Result) {
	result := f.result("dkim", string(s.Code))
	if s.Code != dkim.Pass {
		result.Reason = strings.TrimPrefix(string(s.Reason), "dkim.")
	}
	f.property("header", "d", s.Domain)
	f.property("header", "s", s.Selector)
	f.property("header", "a", s.Algorithm)
	f.property("header", "b", s.B)
}

// arc names the client that the chain came from, and how far back its signatures hold (RFC
// 8617 §6).
func (f *verdictField) arc(r *Report) {
	if r.ARC.Code != arc.Pass && r.ARC.Code != arc.Fail {
		return
	}
	result := f.result("arc", string(r.ARC.Code))
	if r.ARC.Code != arc.Pass {
		result.Reason = strings.TrimPrefix(string(r.ARC.Reason), "arc.")
	}
	if ip := r.RemoteIP(); ip.IsValid() {
		f.property("smtp", "remote-ip", ip.String())
	}
	if r.ARC.Code == arc.Pass {
		f.property("header", "oldest-pass", strconv.Itoa(r.ARC.OldestPass))
	}
}

func (f *verdictField) dmarc(r *Report) {
	d := &r.DMARC
	result := f.result("dmarc", string(d.Code))
	switch {
	case d.Published.P != "" && r.Stale > 0:
		result.Comment = "p=" + d.Published.P + ", stale DNS"
	case d.Published.P != "":
		result.Comment = "p=" + d.Published.P
	case r.Stale > 0:
		result.Comment = "stale DNS"
	}
	f.property("header", "from", d.AuthorDomain)
	f.property("policy", "dmarc", string(d.Policy))
	if o := r.Decision.Override; o != nil {
		f.property("policy", "override-reason", string(o.Type))
	}
}
