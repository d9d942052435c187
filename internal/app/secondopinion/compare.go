package secondopinion

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"postseal"
	"postseal/dkim"
	"postseal/internal/core/spfrecord"
	"postseal/resolver"
	"postseal/spf"
)

// The libraries that are consulted.
const (
	SPFLibrary  = "blitiri.com.ar/go/spf"
	DKIMLibrary = "go-msgauth/dkim"
)

// Opinion is the result of one library compared with ours.
type Opinion struct {
	Method   string `json:"method"` // spf or dkim
	Library  string `json:"library"`
	Domain   string `json:"domain"`
	Selector string `json:"selector,omitempty"` // of a signature
	Ours     string `json:"ours"`               // our result word
	Theirs   string `json:"theirs"`             // the library's, "" if it was not consulted
	Agrees   bool   `json:"agrees"`
	Rule     *Rule  `json:"rule,omitempty"`    // the rule that settles a known difference
	Problem  string `json:"problem,omitempty"` // why the library was not consulted, or its message
}

// Known reports whether the opinions agree, the difference is a known one, or the library was
// not consulted.
func (o *Opinion) Known() bool { return o.Agrees || o.Rule != nil || o.Theirs == "" }

// String is one line for people.
func (o *Opinion) String() string {
	subject := o.Method + " " + o.Domain
	if o.Selector != "" {
		subject += " s=" + o.Selector
	}
	switch {
	case o.Theirs == "":
		return fmt.Sprintf("%s: %s was not asked: %s", subject, o.Library, o.Problem)
	case o.Agrees:
		return fmt.Sprintf("%s: %s agrees: %s", subject, o.Library, o.Theirs)
	case o.Rule != nil:
		return fmt.Sprintf("%s: %s says %s, postseal %s: %s", subject, o.Library, o.Theirs, o.Ours, o.Rule)
	}
	return fmt.Sprintf("%s: %s says %s, postseal %s, for no known reason: please report it", subject, o.Library, o.Theirs, o.Ours)
}

// Compare consults the libraries about a message that was verified, with the DNS answers that
// the verdict depends on. msg is nil if it was too long to store.
func Compare(ctx context.Context, next resolver.Resolver, r *postseal.Report, msg []byte) []Opinion {
	dns := newReplay(next, r.Exchanges())
	var all []Opinion
	if len(r.SPF) > 0 {
		q := spf.Request{IP: r.RemoteIP(), Helo: r.Helo, Sender: r.ReversePath}
		all = append(all, CompareSPF(ctx, dns, q, r.SPF[0]))
	}
	if len(r.DKIM) == 0 {
		return all
	}
	if msg == nil {
		return append(all, Opinion{Method: "dkim", Library: DKIMLibrary, Problem: ErrUnasked.Error()})
	}
	return append(all, CompareDKIM(ctx, dns, msg, r.DKIM)...)
}

// CompareSPF consults the library about one check of the MAIL FROM identity.
func CompareSPF(ctx context.Context, r resolver.Resolver, q spf.Request, ours spf.Result) Opinion {
	dns := &recorder{next: r}
	o := Opinion{Method: "spf", Library: SPFLibrary, Domain: ours.Domain, Ours: string(ours.Code)}
	o.Theirs = SPF(ctx, dns, q.IP, q.Helo, q.Sender)
	o.Agrees = o.Theirs == o.Ours
	if !o.Agrees {
		o.Rule = spfRule(&spfView{ip: q.IP.Unmap(), helo: q.Helo, sender: q.Sender, ours: ours, theirs: o.Theirs,
			records: dns.spfRecords(), failed: dns.failed, manyMX: dns.manyMX})
	}
	return o
}

// CompareDKIM consults the library about every signature of a message.
func CompareDKIM(ctx context.Context, r resolver.Resolver, msg []byte, ours []dkim.Result) []Opinion {
	dns := &recorder{next: r}
	header, err := guard(msg)
	var theirs []Signature
	if err == nil {
		theirs, err = askDKIM(ctx, dns, msg)
	}
	all := make([]Opinion, 0, len(ours))
	for i, s := range ours {
		o := Opinion{Method: "dkim", Library: DKIMLibrary, Domain: s.Domain, Selector: s.Selector, Ours: string(s.Code)}
		switch {
		case err != nil:
			o.Problem = err.Error()
		case i >= len(theirs):
			o.Problem = "it looks at ten signatures at most"
		default:
			o.compare(&dkimView{ours: &s, theirs: &theirs[i], header: header, keys: dns.texts})
		}
		all = append(all, o)
	}
	return all
}

func (o *Opinion) compare(v *dkimView) {
	o.Theirs = v.theirs.Result
	o.Agrees = o.Theirs == dkimWord(v.ours.Code)
	if v.theirs.Err != nil {
		o.Problem = v.theirs.Err.Error()
	}
	if !o.Agrees {
		o.Rule = dkimRule(v)
	}
}

// dkimWord returns the word of the library, which uses only pass, fail and temperror.
func dkimWord(r dkim.Code) string {
	switch r {
	case dkim.Pass:
		return "pass"
	case dkim.TempError:
		return "temperror"
	}
	return "fail"
}

// replay answers with the earlier answers, so that a difference comes from a rule and never
// from the network; only new queries are sent.
type replay struct {
	known map[question]*resolver.Exchange
	next  resolver.Resolver
}

func newReplay(next resolver.Resolver, asked []resolver.Exchange) *replay {
	r := &replay{known: make(map[question]*resolver.Exchange, len(asked)), next: next}
	for i := range asked {
		r.known[ask(asked[i].Name, asked[i].Type)] = &asked[i]
	}
	return r
}

// Lookup implements resolver.Resolver.
func (r *replay) Lookup(ctx context.Context, name string, t resolver.Type) (resolver.Answer, error) {
	if e := r.known[ask(name, t)]; e != nil {
		return e.Answer, e.Err
	}
	return r.next.Lookup(ctx, name, t)
}

func ask(name string, t resolver.Type) question {
	return question{strings.ToLower(strings.TrimSuffix(name, ".")), t}
}

type question struct {
	name string
	t    resolver.Type
}

// recorder stores what the predicates of the rules need to know about the DNS.
type recorder struct {
	next   resolver.Resolver
	mu     sync.Mutex
	texts  []string // of every TXT answer
	failed bool     // a lookup of addresses failed
	manyMX bool     // a name has more MX records than the limit
}

// Lookup implements resolver.Resolver.
func (r *recorder) Lookup(ctx context.Context, name string, t resolver.Type) (resolver.Answer, error) {
	a, err := r.next.Lookup(ctx, name, t)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.manyMX = r.manyMX || t == resolver.MX && len(a.Records) > spf.DefaultNames
	r.failed = r.failed || err != nil && (t == resolver.A || t == resolver.AAAA)
	if t == resolver.TXT {
		for i := range a.Records {
			r.texts = append(r.texts, a.Records[i].Text)
		}
	}
	return a, err
}

func (r *recorder) spfRecords() []string {
	var records []string
	for _, text := range r.texts {
		if spfrecord.IsRecord(text) {
			records = append(records, text)
		}
	}
	return records
}
