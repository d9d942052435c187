package store

import (
	"slices"
	"strings"
)

// Match reports whether a row, which may be in no database yet, is one that the search finds.
func (q *Query) Match(r *Row) bool {
	if q.Since > 0 && r.Millis < q.Since || q.Until > 0 && r.Millis >= q.Until || q.Node != 0 && r.Node != q.Node {
		return false
	}
	for i := range q.Terms {
		if q.Terms[i].match(r) == q.Terms[i].Not {
			return false
		}
	}
	return true
}

func (t *Term) match(r *Row) bool {
	if t.Field == FieldIP {
		return r.IP.IsValid() && t.Net.Contains(r.IP)
	}
	return slices.ContainsFunc(t.Values, func(v string) bool { return matchValue(t.Field, v, r) })
}

func matchValue(f Field, v string, r *Row) bool {
	switch f {
	case FieldAuthor:
		return isDomain(v, r.Author)
	case FieldMailFrom:
		return isDomain(v, r.MFrom)
	case FieldDomain:
		return isDomain(v, r.Author) || isDomain(v, r.MFrom)
	case FieldList:
		return isDomain(v, r.List)
	case FieldHelo:
		return isDomain(v, r.Helo)
	case FieldDKIM:
		return strings.Contains(r.DKIM, DKIMPart(v))
	case FieldRule:
		return strings.Contains(r.Why, v)
	case FieldName:
		n, ok := RefNumber(v)
		return r.QID == v || ok && r.Ref == RefText(n)
	}
	return v == r.column(f)
}

// column returns the text of a field that is compared as a whole.
func (r *Row) column(f Field) string {
	switch f {
	case FieldApplied:
		return r.Applied
	case FieldAction:
		return r.Action
	case FieldReason:
		return r.Reason
	case FieldSPF:
		return r.SPF
	case FieldARC:
		return r.ARC
	case FieldDMARC:
		return r.DMARC
	case FieldPolicy:
		return r.P
	case FieldQID:
		return r.QID
	case FieldRef:
		return r.Ref
	case FieldMessageID:
		if !r.MessageID.IsZero() {
			return r.MessageID.text()
		}
	case FieldDoor:
		return r.Door
	}
	return ""
}

func isDomain(want, have string) bool {
	if below, ok := strings.CutPrefix(want, "*"); ok {
		return strings.HasSuffix(strings.ToLower(have), below)
	}
	return strings.EqualFold(want, have)
}

// dkimResults are the result words of signatures (RFC 8601 §2.7.1).
var dkimResults = []string{"none", "pass", "fail", "policy", "neutral", "temperror", "permerror"}

// DKIMPart returns what the text of signatures contains for dkim:v, which is a result, or
// the signing domain.
func DKIMPart(v string) string {
	switch {
	case v == "none":
		return v
	case slices.Contains(dkimResults, v):
		return v + ":"
	}
	return ":" + Domain(v) + "/"
}
