package audit

import (
	"fmt"
	"strings"

	"postseal/domain"
	"postseal/internal/core/dnsdata"
	"postseal/internal/core/spfrecord"
	"postseal/internal/core/spftree"
	"postseal/resolver"
)

// unregistered returns the registrable domain of name if that domain does not exist and does
// not contain the audited domain: anyone can register it, and then controls every name below
// it.
func (r *run) unregistered(name string) (string, bool) {
	d, err := domain.Parse(strings.TrimSuffix(name, "."))
	if err != nil {
		return "", false
	}
	own := d.Registrable()
	if own.Labels() < 2 || r.name.Within(own) {
		return "", false
	}
	a, state := r.ask("registration", string(own), resolver.NS, false)
	return string(own), state == NXDomain && !a.Aliased(string(own))
}

// authorizesUnregistered finds a term that would let the owner of an unregistered name send.
func (r *run) authorizesUnregistered(t *spftree.Term, at Where) {
	if own, free := r.unregistered(t.Name); free {
		r.find("spf.unregistered", at, fmt.Sprintf("%s names %s, which does not exist: anyone who registers it can send as %s", clip(t.Text), own, r.name), "remove "+clip(t.Text)+", or correct its name")
	}
}

// macroTarget follows an include, redirect or exists with macros as far as it is the same for
// every client: if the name after the last macro does not exist, no name below it does (RFC
// 8020).
func (r *run) macroTarget(t *spftree.Term, at Where) {
	follows := t.Mechanism == spfrecord.Include || t.Mechanism == spfrecord.Exists || t.Mechanism == "redirect"
	if !follows || t.Unused || !strings.Contains(t.Text, "%{") {
		return
	}
	text := strings.NewReplacer("%{d}", at.Name, "%{o}", string(r.name)).Replace(t.Text)
	suffix := text[strings.IndexAny(text, ":=")+1:]
	if i := strings.LastIndexByte(suffix, '}'); i >= 0 {
		var dot bool
		if suffix, dot = strings.CutPrefix(suffix[i+1:], "."); !dot {
			return
		}
	}
	suffix = strings.TrimSuffix(suffix, ".")
	if !strings.Contains(suffix, ".") || !dnsdata.ValidName(suffix) {
		return
	}
	a, state := r.ask("spf", suffix, resolver.TXT, false)
	if state != NXDomain || a.Aliased(suffix) {
		return
	}
	if t.Mechanism == spfrecord.Exists {
		r.find("spf.dead-term", at, clip(t.Text)+" never matches: "+clip(suffix)+" does not exist", "remove "+clip(t.Text))
	} else {
		r.find("spf.include-broken", at, clip(t.Text)+" makes every check permerror, for every client: "+clip(suffix)+" does not exist", "")
	}
	if own, free := r.unregistered(suffix); free {
		r.find("spf.unregistered", at, fmt.Sprintf("%s names %s, which does not exist: anyone who registers it can send as %s", clip(t.Text), own, r.name), "")
	}
}

// nameTwice looks for records at names to which a zone editor appended the domain again, as in
// _dmarc.example.com.example.com. It queries them only if the record is missing at the correct
// name.
func (r *run) nameTwice(name string) []resolver.RR {
	if !r.twiceKnown {
		r.twiceKnown = true
		again := string(r.name) + "." + string(r.name)
		a, state := r.ask("name", again, resolver.TXT, false)
		r.twice = state == Found || state == NoData && !a.Aliased(again)
	}
	if !r.twice {
		return nil
	}
	again := name + "." + string(r.name)
	a, state := r.ask("name", again, resolver.TXT, false)
	if state != Found || a.Aliased(again) {
		return nil
	}
	if _, state := r.ask("name", probe+"."+string(r.name), resolver.TXT, false); state == Found || state == Failed {
		return nil // a wildcard answers for every name
	}
	r.find("txt.name-twice", Where{Name: again, Record: a.Records[0].Text}, "a record that belongs at "+name+" is at "+again, "move it to "+name+": enter the name without the domain, or with a trailing dot")
	return a.Records
}
