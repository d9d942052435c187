package audit

import (
	"crypto/sha256"
	"fmt"
)

// maxKeys bounds the keys that are remembered.
const maxKeys = 1 << 16

// Keys finds keys shared by several domains in a list. It must see the reports one at a time,
// in the order of the list.
type Keys struct {
	first map[[16]byte]string // the domain where a key was first seen
}

// Check adds dkim.shared-key to r for keys that an earlier domain has too. A key reached
// through an alias belongs to a service that manages it.
func (k *Keys) Check(r *Report) {
	if k.first == nil {
		k.first = map[[16]byte]string{}
	}
	found := false
	for i := range r.Records.DKIM {
		key := &r.Records.DKIM[i]
		if key.State != Found || key.Revoked || key.Type == "" || key.Alias != "" {
			continue
		}
		sum := sha256.Sum256([]byte(key.Record))
		id := [16]byte(sum[:16])
		other, seen := k.first[id]
		switch {
		case !seen && len(k.first) < maxKeys:
			k.first[id] = r.Domain
		case seen && other != r.Domain && len(r.Findings) < maxFindings:
			rule, _ := RuleOf("dkim.shared-key")
			r.Findings = append(r.Findings, Finding{ID: rule.ID, Severity: rule.Severity, Title: rule.Title, RFC: rule.RFC, Fix: rule.Fix,
				Detail: fmt.Sprintf("selector %s has the same key as %s", key.Selector, other), Where: Where{Name: key.Name, Record: key.Record}})
			found = true
		}
	}
	if found {
		r.judge(r.has("domain.missing"))
	}
}
