package audit

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"postseal/dkim"
	"postseal/domain"
	"postseal/internal/app/repair"
	"postseal/internal/core/signature"
	"postseal/resolver"
)

// Source says where the name of a selector comes from.
type Source string

// The sources, most reliable first. A selector from the last two is a guess: it means nothing
// if it has no key.
const (
	FromFlag Source = "flag"
	FromFile Source = "file"
	FromMail Source = "mail"

	FromHistory Source = "history" // verdicts of a store
	FromReport  Source = "report"  // aggregate reports of receivers

	FromHint Source = "hint"
	FromList Source = "list"

	// FromProbe: an unused name was queried, and a wildcard answered.
	FromProbe Source = "probe"
)

// guess reports whether no source says that the selector is in use.
func (s Source) guess() bool { return s == FromHint || s == FromList }

// seen reports whether mail was signed with the selector.
func (s Source) seen() bool { return s == FromMail || s == FromHistory || s == FromReport }

// Selector is the name of a key, and the source of the name.
type Selector struct {
	Name   domain.Name
	Source Source
	Last   time.Time // when mail was last signed with it; zero if unknown
}

// maxSelectors limits the queries for one domain.
const maxSelectors = 60

// probe is an unused selector: if it has an answer, a wildcard exists.
const probe = "postseal-wildcard-probe"

// dkim checks the keys. Selectors cannot be listed, but if _domainkey does not exist, there are
// no keys (RFC 8020; RFC 2308 §5 for what denies it).
func (r *run) dkim() {
	if r.missing {
		return
	}
	base := "_domainkey." + string(r.name)
	a, state := r.ask("dkim", base, resolver.TXT, false)
	nothingBelow := state == NXDomain && !a.Aliased(base)
	r.noKeys = nothingBelow
	wildcard := false
	if state != Failed && !nothingBelow {
		wildcard = r.wildcardKey()
	}
	for _, s := range r.selectors() {
		if s.Source.guess() && (nothingBelow || wildcard || state == Failed) {
			continue
		}
		r.selector(s)
	}
	r.keyFindings()
}

// wildcardKey reports whether every selector has an answer.
func (r *run) wildcardKey() bool {
	name := probe + "._domainkey." + string(r.name)
	a, state := r.ask("dkim", name, resolver.TXT, false)
	if state != Found {
		return false
	}
	key, err := signature.ParseKey(a.Records[0].Text)
	r.emptyWildcard = err == nil && key.Revoked
	if r.emptyWildcard {
		k := DKIMKey{Status: Status{Name: "*._domainkey." + string(r.name), State: Found}, Selector: "*", Source: FromProbe, Record: a.Records[0].Text, Type: key.Type, Revoked: true}
		r.report.Records.DKIM = append(r.report.Records.DKIM, k)
	} else {
		r.find("dkim.wildcard", Where{Name: name, Record: a.Records[0].Text}, "an unused name has a record: *._domainkey answers for every selector", "")
	}
	return true
}

// selectors lists the selectors to query, each once, the most reliable source first.
func (r *run) selectors() []Selector {
	var list []Selector
	add := func(s Selector) {
		if len(list) < maxSelectors && !slices.ContainsFunc(list, func(have Selector) bool { return have.Name == s.Name }) {
			list = append(list, s)
		}
	}
	order := []Source{FromFlag, FromFile, FromMail, FromHistory, FromReport, FromHint, FromList}
	named := slices.Clone(r.options.Selectors)
	slices.SortStableFunc(named, func(a, b Selector) int { return slices.Index(order, a.Source) - slices.Index(order, b.Source) })
	for _, s := range named {
		add(s)
	}
	for i := range providers {
		if p := &providers[i]; r.uses(p) {
			for _, name := range p.selectors {
				add(Selector{Name: domain.Name(name), Source: FromHint})
			}
		}
	}
	for _, name := range commonSelectors {
		add(Selector{Name: domain.Name(name), Source: FromList})
	}
	for _, s := range list {
		if !r.noKeys || !s.Source.guess() {
			r.dns.Prefetch(keyName(s.Name, r.name), resolver.TXT)
		}
	}
	return list
}

func keyName(selector, d domain.Name) string { return string(selector) + "._domainkey." + string(d) }

// uses reports whether MX or SPF mention the provider.
func (r *run) uses(p *provider) bool {
	for _, h := range r.report.Records.MX {
		if p.receives(h.Name) {
			return true
		}
	}
	return r.report.Records.SPF.Tree != nil && slices.ContainsFunc(r.report.Records.SPF.Tree.Terms, func(t SPFTerm) bool { return p.sends(t.Name) })
}

// selector checks the key of one selector.
func (r *run) selector(s Selector) {
	name := keyName(s.Name, r.name)
	r.report.Tried = append(r.report.Tried, string(s.Name))
	a, state := r.ask("dkim", name, resolver.TXT, !s.Source.guess())
	if state != Found && s.Source.guess() {
		return
	}
	k := DKIMKey{Status: r.status(name, state), Selector: string(s.Name), Source: s.Source}
	if !s.Last.IsZero() {
		k.Last = s.Last.UTC().Format(time.DateOnly)
	}
	if state != Failed && a.Aliased(name) {
		k.Alias = a.Canonical
	}
	switch {
	case state == Found:
		r.key(&k, a)
	case state != Failed && k.Alias != "":
		r.find("dkim.dangling", Where{Name: name}, fmt.Sprintf("%s is an alias of %s, which has no record", name, k.Alias), "")
	case state != Failed && s.Source.seen():
		when := ""
		if k.Last != "" {
			when = ", last on " + k.Last
		}
		r.find("dkim.selector-gone", Where{Name: name}, fmt.Sprintf("mail was signed with %s%s, but that selector has no key now", s.Name, when), "")
	case state != Failed:
		r.find("dkim.selector-missing", Where{Name: name}, fmt.Sprintf("%s has no key (%s)", name, state), "")
		r.nameTwice(name)
	}
	r.report.Records.DKIM = append(r.report.Records.DKIM, k)
}

// key reads the records of a selector as a verifier does.
func (r *run) key(k *DKIMKey, a resolver.Answer) {
	k.Record, k.lengths = a.Records[0].Text, a.Records[0].Strings
	r.hygiene(k.Name, a, "p=")
	at := Where{Name: k.Name, Record: k.Record}
	keys, err := signature.LookupKey(r.ctx, r.dns, domain.Name(k.Selector), r.name)
	if err != nil && k.Source.guess() && !strings.Contains(k.Record, "p=") {
		return // a different record at a guessed name
	}
	if len(a.Records) > 1 {
		r.find("dkim.multiple", at, fmt.Sprintf("%s has %d TXT records", k.Name, len(a.Records)), "")
	}
	var syntax *signature.SyntaxError
	if errors.As(err, &syntax) {
		at.Offset = syntax.Offset
		keyFault(r.find, k.lengths, at, syntax.Msg)
		return
	}
	if len(keys) == 0 {
		return
	}
	k.Type, k.Bits, k.TestMode, k.Revoked = keys[0].Type, keys[0].Bits, keys[0].TestMode, keys[0].Revoked
	findEach(r.find, dkim.Lint(k.Record), at)
}

// keyFault finds what is wrong with a record that is not a key, which msg says too.
func keyFault(find func(id string, at Where, detail, fix string), lengths []int, at Where, msg string) {
	fault, offset := repair.Damage(at.Record, lengths)
	if fault == repair.OtherFault {
		find("dkim.syntax", at, msg, "")
		return
	}
	if offset >= 0 {
		at.Offset = offset
	}
	find("dkim."+string(fault), at, fault.Detail(), "")
}

// keyFindings checks all keys together.
func (r *run) keyFindings() {
	usable, ed := 0, 0
	owners := map[string]string{}
	for i := range r.report.Records.DKIM {
		k := &r.report.Records.DKIM[i]
		if k.State != Found || k.Revoked || k.Type == "" {
			continue
		}
		usable++
		if k.Type == "ed25519" {
			ed++
		}
		if first := owners[k.Record]; first != "" && k.Alias == "" {
			r.find("dkim.shared-key", Where{Name: k.Name, Record: k.Record}, "the selectors "+first+" and "+k.Selector+" have the same key", "")
		}
		owners[k.Record] = k.Selector
	}
	if usable == 0 {
		for i := range r.report.Records.DKIM {
			if k := &r.report.Records.DKIM[i]; k.Revoked && (k.Source == FromFlag || k.Source == FromFile) {
				r.find("dkim.selector-revoked", Where{Name: k.Name, Record: k.Record}, "you named the selector "+k.Selector+", but its key is revoked: mail signed with it fails", "")
			}
		}
	}
	if usable > 0 && ed == usable {
		r.find("dkim.ed25519-only", Where{Name: "_domainkey." + string(r.name)}, "all keys found are Ed25519 keys", "")
	}
	if r.noKeys && r.report.Profile.Sends() {
		r.find("dkim.none-visible", Where{Name: "_domainkey." + string(r.name)}, "_domainkey."+string(r.name)+" does not exist, so there is no key below it", "")
	}
}
