package history

import (
	"cmp"
	"strings"

	"postseal"
	"postseal/internal/app/explain"
	"postseal/internal/core/reason"
)

// because says in a few words, without names, what the identifiers came to and what was made of the decision.
func because(v *Verdict) string {
	var parts []string
	add := func(s string) {
		if s != "" {
			parts = append(parts, s)
		}
	}
	broken, other := brokenSignature(v), v.SPF == "pass" && !contains(v.CountsForAuthor, "spf")
	switch {
	case len(v.Signatures) == 0:
		add("no signature")
	case v.DKIM == "pass" && contains(v.CountsForAuthor, "dkim"):
		add("DKIM passes for the author")
	case broken != "":
		add(broken)
	case v.DKIM != "pass":
		add("DKIM " + v.DKIM)
	case other:
		add("DKIM and SPF pass for another domain")
		other = false
	default:
		add("DKIM passes for another domain")
	}
	switch {
	case other:
		add("SPF passes for another domain")
	case v.SPF == "pass" && contains(v.CountsForAuthor, "spf"):
		add("SPF passes for the author")
	case v.SPF != "" && v.SPF != "skipped" && v.SPF != "pass":
		add("SPF " + v.SPF)
	}
	if v.Action == v.Applied {
		add(v.Why)
	} else {
		add(Mode(v))
	}
	return strings.Join(parts, "; ")
}

// brokenSignature says what is wrong with the signature of the author that does not verify, "" if none is; without one of
// the author, with the only one.
func brokenSignature(v *Verdict) string {
	for i := range v.Signatures {
		s := &v.Signatures[i]
		if s.Result == "pass" || !strings.EqualFold(s.Domain, v.Author) && len(v.Signatures) > 1 {
			continue
		}
		name := "dkim." + strings.TrimPrefix(s.Reason, "dkim.")
		if text := reason.Text(name, reason.Values{}); text != name {
			return text
		}
		return "DKIM " + s.Result
	}
	return ""
}

// Mode says why the mode downgraded the action of a verdict, or left it; "" if it has no part in it.
func Mode(v *Verdict) string {
	d := postseal.Decision{Action: postseal.Action(v.Action), Applied: postseal.Action(v.Applied), Reason: postseal.Reason(v.Reason)}
	if v.Override != "" {
		d.Override = &postseal.Override{Type: postseal.OverrideType(v.Override), Comment: v.Why}
	}
	why := explain.Because(postseal.Enforce(v.Enforce), &d)
	if v.Action != v.Applied {
		return cmp.Or(why, "mode "+v.Enforce+" downgrades it")
	}
	return why
}
