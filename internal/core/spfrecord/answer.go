package spfrecord

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	"postseal/internal/core/dnsdata"
	"postseal/internal/core/memo"
	"postseal/internal/core/reason"
	"postseal/resolver"
)

// Fault says why a domain has no record that can be evaluated.
type Fault struct {
	Code    Code // None, TempError or PermError
	Reason  Reason
	Problem string // for a person; outside text in it is quoted
}

// Choose finds the record of name among the TXT records there, and parses it (RFC 7208 §4.5,
// §4.6). most bounds its octets. Without a record the Fault says why. The record is for evaluation: it
// keeps a bounded number of Directives, and no Unknown; Parse of its Text has them.
func Choose(a resolver.Answer, name string, most int) (*Record, Fault) {
	switch p := memo.Parsed(a, parseAnswer); {
	case p.count == 0:
		return nil, Fault{None, NoRecord, "no SPF record at " + reason.Quote(name)}
	case p.count > 1:
		return nil, Fault{PermError, MultipleRecords, fmt.Sprintf("%d SPF records at %s", p.count, reason.Quote(name))}
	case p.length > most:
		return nil, Fault{PermError, RecordTooLong, fmt.Sprintf("the record at %s has %d octets", reason.Quote(name), p.length)}
	case p.err != nil:
		return nil, Fault{PermError, p.err.Reason, "record at " + reason.Quote(name) + ", " + p.err.Error()}
	default:
		return p.record, Fault{}
	}
}

// NotADomain is the Fault of a name that IsDomain does not take.
func NotADomain(name string) Fault {
	return Fault{None, NoDomain, reason.Quote(name) + " is not a domain that could have a record"}
}

// LookupFault is the Fault of a lookup that failed with err while ctx was in force.
func LookupFault(ctx context.Context, err error) Fault {
	switch kind := resolver.KindOf(err); {
	case kind == resolver.OverBudget:
		return Fault{PermError, BudgetSpent, "the check asks more of the DNS than is spent on one message"}
	case ctx.Err() != nil || kind == resolver.Canceled:
		return Fault{TempError, TimeLimit, "the check took too long or was cancelled"}
	}
	return Fault{TempError, DNSFailure, err.Error()}
}

// parsedAnswer is kept with a cached answer, so that a record is parsed once.
type parsedAnswer struct {
	count  int
	length int
	record *Record
	err    *SyntaxError
}

// maxParsed is the longest text that is parsed at all.
const maxParsed = 64 << 10

func parseAnswer(a resolver.Answer) *parsedAnswer {
	p := &parsedAnswer{}
	text := ""
	for i := range a.Records {
		if IsRecord(a.Records[i].Text) {
			p.count++
			text = a.Records[i].Text
		}
	}
	p.length = len(text)
	if p.count != 1 || p.length > maxParsed {
		return p
	}
	r, err := parse(text, dnsdata.KeptTerms(text), false)
	if err != nil {
		p.err = err.(*SyntaxError)
		return p
	}
	p.record = r
	return p
}

// IsDomain reports whether s is a domain that check_host() evaluates: a name of several labels
// (RFC 7208 §4.3). An address is not one.
func IsDomain(s string) bool {
	if !dnsdata.ValidName(s) || strings.IndexByte(strings.TrimSuffix(s, "."), '.') < 0 {
		return false
	}
	if !isDigit(s[len(s)-1]) {
		return true // no address ends like this; IPv6 has no dot, or ends in an IPv4 address
	}
	_, err := netip.ParseAddr(s)
	return err != nil
}
