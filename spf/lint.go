package spf

import "fmt"

// Severity is how bad a Problem is.
type Severity string

// The severities.
const (
	Error   Severity = "error"
	Warning Severity = "warn"
	Info    Severity = "info"
)

// Problem is a finding about the text of a record.
type Problem struct {
	ID       string // stable
	Severity Severity
	Offset   int // in the text
	Message  string
	Fix      string
	RFC      string
}

// Lint says what is wrong with the text of a record, or unwise in it, without asking the
// DNS.
func Lint(text string) []Problem {
	r, err := Parse(text)
	if err != nil {
		e := err.(*SyntaxError)
		return []Problem{{ID: "spf.syntax", Severity: Error, Offset: e.Offset, Message: e.Msg,
			Fix: "receivers answer permerror: correct or remove this term", RFC: "7208 §4.6"}}
	}
	var problems []Problem
	add := func(id string, s Severity, offset int, message, fix, rfc string) {
		problems = append(problems, Problem{id, s, offset, message, fix, rfc})
	}
	lookups, afterAll := 0, -1
	for i := range r.Directives {
		d := &r.Directives[i]
		if d.Lookups() {
			lookups++
		}
		if afterAll >= 0 {
			add("spf.after-all", Warning, d.Offset, "terms after all are never evaluated", "remove "+d.Text, "7208 §5.1")
		}
		switch d.Mechanism {
		case All:
			afterAll = i
			lintAll(d, add)
		case PTR:
			add("spf.ptr", Warning, d.Offset, "ptr is slow, unreliable and should not be published", "list addresses with ip4 and ip6", "7208 §5.5")
		case IP4, IP6:
			lintRange(d, add)
		}
	}
	if r.Redirect != nil {
		lookups++
		if r.HasAll {
			add("spf.redirect-unused", Warning, r.Redirect.Offset, "redirect is ignored where all stands", "remove one of them", "7208 §5.1")
		}
	}
	if lookups > DefaultLookups {
		add("spf.lookup-limit", Error, 0, fmt.Sprintf("%d terms cost a DNS lookup, the limit is 10: permerror", lookups),
			"replace includes by addresses, or drop what no longer sends", "7208 §4.6.4")
	}
	if !r.HasAll && r.Redirect == nil {
		add("spf.all-missing", Warning, len(text), "no all and no redirect: the default is neutral", "end the record in -all or ~all", "7208 §4.7")
	}
	if len(text) > 450 {
		add("spf.long", Info, 0, fmt.Sprintf("%d octets may not fit a DNS answer of 512 octets", len(text)), "keep it below 450", "7208 §3.4")
	}
	return problems
}

func lintAll(d *Directive, add func(id string, s Severity, offset int, message, fix, rfc string)) {
	switch d.Qualifier {
	case Pass:
		add("spf.all-permissive", Error, d.Offset, "+all lets every host of the internet send for this domain", "end the record in -all or ~all", "7208 §5.1")
	case Neutral:
		add("spf.all-permissive", Warning, d.Offset, "?all says nothing about other hosts", "end the record in -all or ~all", "7208 §8.2")
	}
}

func lintRange(d *Directive, add func(id string, s Severity, offset int, message, fix, rfc string)) {
	if d.Qualifier == Pass && (d.Prefix.Addr().Is4() && d.Prefix.Bits() < 16 || d.Prefix.Addr().Is6() && d.Prefix.Bits() < 32) {
		add("spf.wide-range", Warning, d.Offset, d.Prefix.String()+" is a very wide range", "list the addresses that send", "9989 §7.1")
	}
}
