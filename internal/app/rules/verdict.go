package rules

import (
	"cel.dev/cel-go/cel"

	"postseal"
	"postseal/domain"
	"postseal/internal/core/resultjson"
)

// The variables of an expression have the names and types of the verify JSON (schema
// postseal.verify/1), plus the envelope. docs/howto/exempt-and-rules.md lists them.

// Verdict is the decision so far: what the published policy requests.
type Verdict struct {
	Action string `json:"action"`
	Reason string `json:"reason"`
}

// Author is the author named in the From field.
type Author struct {
	Domains []string `json:"domains"`
	Reason  string   `json:"reason"`
}

// IPRev is the reverse DNS of the client; empty without a client address.
type IPRev struct {
	Result string `json:"result"`
	Name   string `json:"name"`
}

// Client is the other end of the connection.
type Client struct {
	IP   string `json:"ip"` // "" if unknown
	HELO string `json:"helo"`
	User string `json:"user"` // authenticated, "" for none
	TLS  bool   `json:"tls"`
}

// Envelope is the SMTP envelope of the message.
type Envelope struct {
	From string   `json:"from"` // "" is the null reverse-path
	Rcpt []string `json:"rcpt"`
}

// verdict resolves the variables of an expression. Each is computed when it is used.
type verdict struct {
	report   *postseal.Report
	decision *postseal.Decision
	made     map[string]any
}

func newVerdict(r *postseal.Report, d *postseal.Decision) *verdict {
	return &verdict{report: r, decision: d, made: make(map[string]any, 4)}
}

// ResolveName implements cel's Activation.
func (v *verdict) ResolveName(name string) (any, bool) {
	if value, ok := v.made[name]; ok {
		return value, true
	}
	value := v.make(name)
	if value == nil {
		return nil, false
	}
	v.made[name] = value
	return value, true
}

// Parent implements cel's Activation.
func (v *verdict) Parent() cel.Activation { return nil }

func (v *verdict) make(name string) any {
	r := v.report
	switch name {
	case "decision":
		return &Verdict{Action: string(v.decision.Action), Reason: string(v.decision.Reason)}
	case "spf":
		return each(r.SPF, resultjson.OfSPF)
	case "dkim":
		return each(r.DKIM, resultjson.OfDKIM)
	case "arc":
		a := resultjson.OfARC(&r.ARC, r.ARCTrusted)
		return &a
	case "dmarc":
		d := resultjson.OfDMARC(r.DMARC)
		return &d
	case "iprev":
		if r.IPRev == nil {
			return &IPRev{}
		}
		return &IPRev{Result: string(r.IPRev.Code), Name: r.IPRev.Name}
	case "author":
		return &Author{Domains: each(r.Author.Domains, func(n domain.Name) string { return string(n) }), Reason: string(r.Author.Reason)}
	case "client":
		c := &Client{HELO: r.Helo, User: r.Conn.User, TLS: r.Conn.TLS}
		if ip := r.RemoteIP(); ip.IsValid() {
			c.IP = ip.String()
		}
		return c
	case "envelope":
		return &Envelope{From: r.ReversePath, Rcpt: r.Recipients}
	case "list_id":
		return listID(r.Header)
	}
	return nil
}

func each[T, U any](in []T, f func(T) U) []U {
	out := make([]U, 0, len(in))
	for _, v := range in {
		out = append(out, f(v))
	}
	return out
}
