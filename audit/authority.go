package audit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"postseal/internal/core/dnswire"
	"postseal/resolver"
)

// Authority queries one name server directly, without recursion. lame reports that the server
// answered without authority.
type Authority func(ctx context.Context, server netip.Addr, name string, t resolver.Type) (texts []string, lame bool, err error)

// Authority returns an Authority that queries port 53 over UDP, and over TCP if an answer is
// truncated.
func (n Network) Authority(timeout time.Duration) Authority {
	return func(ctx context.Context, server netip.Addr, name string, t resolver.Type) ([]string, bool, error) {
		return n.AskServer(ctx, net.JoinHostPort(server.String(), "53"), name, t, timeout)
	}
}

// AskServer queries the server at address for the texts of a name.
func (n Network) AskServer(ctx context.Context, address, name string, t resolver.Type, timeout time.Duration) ([]string, bool, error) {
	q := new(dns.Msg)
	q.SetQuestion(dnswire.Escape(name), uint16(t))
	q.RecursionDesired = false
	q.SetEdns0(1232, false)
	client := &dns.Client{Timeout: timeout, Dialer: n.dialer(timeout)}
	m, _, err := client.ExchangeContext(ctx, q, address)
	if err == nil && m.Truncated {
		client.Net = "tcp"
		m, _, err = client.ExchangeContext(ctx, q, address)
	}
	switch {
	case err != nil:
		return nil, false, &resolver.Error{Name: name, Type: t, Kind: kindOf(err), Err: err}
	case m.Rcode == dns.RcodeServerFailure:
		return nil, false, &resolver.Error{Name: name, Type: t, Kind: resolver.ServFail}
	case !m.Authoritative || m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError:
		return nil, true, nil
	}
	texts := []string{}
	for _, rr := range m.Answer {
		switch {
		case rr.Header().Rrtype == dns.TypeCNAME:
			texts = append(texts, "CNAME "+dnswire.Convert(rr).Target)
		case rr.Header().Rrtype == uint16(t):
			texts = append(texts, dnswire.Convert(rr).Text)
		}
	}
	return texts, false, nil
}

func kindOf(err error) resolver.Kind {
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return resolver.Timeout
	}
	return resolver.KindOf(err)
}

// authoritative queries every name server for the important records, and compares the answers.
func (r *run) authoritative() {
	if !r.options.Authoritative || r.Authority == nil || len(r.report.Records.NS) == 0 {
		return
	}
	names := []string{string(r.name), "_dmarc." + string(r.name)}
	for _, k := range r.report.Records.DKIM {
		if k.State == Found {
			names = append(names, k.Name)
		}
	}
	for _, name := range names {
		r.compare(name)
	}
}

// response is the answer of one server.
type response struct {
	server string
	texts  string
}

func (r *run) compare(name string) {
	var answers []response
	at := Where{Name: name}
	for _, s := range r.report.Records.NS {
		for _, ip := range s.Addresses {
			texts, lame, err := r.Authority(r.ctx, ip, name, resolver.TXT)
			switch {
			case err != nil:
				r.unchecked("authoritative", name+" at "+s.Name, err, false)
			case lame:
				r.find("ns.lame", Where{Name: s.Name}, fmt.Sprintf("%s (%s) is not authoritative for %s", clip(s.Name), ip, name), "")
			default:
				slices.Sort(texts)
				answers = append(answers, response{fmt.Sprintf("%s (%s)", clip(s.Name), ip), strings.Join(texts, "\n")})
			}
		}
	}
	if len(answers) == 0 {
		return
	}
	slices.SortStableFunc(answers, func(a, b response) int { return cmp.Compare(a.server, b.server) })
	for _, a := range answers[1:] {
		if a.texts != answers[0].texts {
			r.find("ns.disagree", at, fmt.Sprintf("for %s, %s says %s, and %s says %s", name, answers[0].server, quote(answers[0].texts), a.server, quote(a.texts)), "")
			return
		}
	}
}
