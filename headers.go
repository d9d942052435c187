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
	return HeaderChanges{Add: []HeaderField{
		{Name: "Authentication-Results", Value: r.authResults(id).Value()},
		{Name: "X-Postseal-Verdict", Value: " " + string(r.Decision.Applied) + "; ref=" + r.Ref},
	}, Remove: ForgedFields(r.header, id)}
}

// ForgedFields names the fields of h that claim to come from the verifier authservID,
// highest instance first (RFC 8601 §5).
func ForgedFields(h *message.Header, authservID string) []HeaderRef {
	refs := []HeaderRef{}
	instances := map[string]int{}
	for i := range h.Len() {
		f := h.At(i)
		if !mayBeForged(f.Raw) {
			continue
		}
		name := string(f.Name())
		key := strings.ToLower(name)
		instances[key]++
		if authres.Forged(f, []string{authservID}) {
			refs = append(refs, HeaderRef{name, instances[key]})
		}
	}
	slices.Reverse(refs)
	return refs
}

// mayBeForged is a cheap first look: the names that authres.Forged knows begin with
// these letters.
func mayBeForged(raw []byte) bool {
	switch raw[0] {
	case 'a', 'A', 'r', 'R', 'x', 'X':
		return true
	}
	return false
}

// authResults is the one Authentication-Results field of the verdict (RFC 8601 §2.2).
func (r *Report) authResults(id string) authres.Field {
	f := authres.Field{AuthservID: id, Results: make([]authres.Result, 0, 3+len(r.DKIM))}
	if len(r.SPF) > 0 {
		f.Results = append(f.Results, spfResult(r))
	}
	if len(r.DKIM) == 0 {
		f.Results = append(f.Results, authres.Result{Method: "dkim", Value: "none"})
	}
	for i := range r.DKIM {
		f.Results = append(f.Results, dkimResult(&r.DKIM[i]))
	}
	f.Results = append(f.Results, dmarcResult(r))
	if r.chain.Code == arc.Pass || r.chain.Code == arc.Fail {
		f.Results = append(f.Results, arcResult(r))
	}
	if r.IPRev != nil {
		f.Results = append(f.Results, authres.Result{Method: "iprev", Value: string(r.IPRev.Result),
			Properties: []authres.Property{{Type: "policy", Name: "iprev", Value: r.RemoteIP().String()}}})
	}
	return f
}

// spfResult names the domain and never the local part (RFC 8601 §2.7.2).
func spfResult(r *Report) authres.Result {
	s := r.SPF[0]
	name, value := "mailfrom", s.Domain
	if s.Identity == spf.Helo || r.ReversePath == "" {
		name = "helo"
	}
	result := authres.Result{Method: "spf", Value: string(s.Code)}
	if value != "" {
		result.Properties = []authres.Property{{Type: "smtp", Name: name, Value: value}}
	}
	return result
}

func dkimResult(s *dkim.Signature) authres.Result {
	result := authres.Result{Method: "dkim", Value: string(s.Result), Properties: make([]authres.Property, 0, 4)}
	if s.Result != dkim.Pass {
		result.Reason = strings.TrimPrefix(string(s.Reason), "dkim.")
	}
	for _, p := range []authres.Property{{Type: "header", Name: "d", Value: s.Domain}, {Type: "header", Name: "s", Value: s.Selector},
		{Type: "header", Name: "a", Value: s.Algorithm}, {Type: "header", Name: "b", Value: s.B}} {
		if p.Value != "" {
			result.Properties = append(result.Properties, p)
		}
	}
	return result
}

// arcResult names the client that the chain came from, and how far back its signatures
// hold (RFC 8617 §6).
func arcResult(r *Report) authres.Result {
	result := authres.Result{Method: "arc", Value: r.ARC.Result}
	if r.chain.Code != arc.Pass {
		result.Reason = strings.TrimPrefix(r.ARC.Reason, "arc.")
	}
	if ip := r.RemoteIP(); ip.IsValid() {
		result.Properties = append(result.Properties, authres.Property{Type: "smtp", Name: "remote-ip", Value: ip.String()})
	}
	if r.chain.Code == arc.Pass {
		result.Properties = append(result.Properties, authres.Property{Type: "header", Name: "oldest-pass", Value: strconv.Itoa(r.ARC.OldestPass)})
	}
	return result
}

func dmarcResult(r *Report) authres.Result {
	d := r.DMARC
	result := authres.Result{Method: "dmarc", Value: string(d.Result)}
	if d.Published.P != "" {
		result.Comment = "p=" + d.Published.P
	}
	if d.AuthorDomain != "" {
		result.Properties = append(result.Properties, authres.Property{Type: "header", Name: "from", Value: d.AuthorDomain})
	}
	if d.Policy != "" {
		result.Properties = append(result.Properties, authres.Property{Type: "policy", Name: "dmarc", Value: string(d.Policy)})
	}
	if o := r.Decision.Override; o != nil {
		result.Properties = append(result.Properties, authres.Property{Type: "policy", Name: "override-reason", Value: string(o.Type)})
	}
	return result
}
