// Package sqltext holds the SQL that both engines share: the columns of a row, and the
// condition of a search.
package sqltext

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"

	"postseal/store"
)

// Dialect is what the engines write differently.
type Dialect struct {
	// Placeholder of the nth argument, from 1.
	Placeholder func(n int) string
	// IP is an address as an argument.
	IP func(netip.Addr) any
	// IPv4 is a condition that holds for addresses of that family alone; "" where the order
	// of addresses keeps families apart.
	IPLength string
	// Action and ID are those columns in a form that no index fits, for searches where another
	// index is better; ID is "id" where the engine knows that itself.
	Action, ID string
}

// Columns are those of a row, in the order of Values and of Scan.
const Columns = `id, ref, qid, node, door, action, applied, enforce, reason, author, authors, mfrom, helo, ip, list, spf, spf_domain, dkim, dmarc, aligned, p, policy_domain, policy_hash, arc, iprev, override, why, stale, dns, bytes, ms, cause, late, mid`

// ColumnCount is the number of Columns.
const ColumnCount = 34

// Names are the Columns one by one.
func Names() []string { return strings.Split(Columns, ", ") }

// Where collects the conditions and arguments of a statement.
type Where struct {
	d Dialect
	// Columns whose index another one is better than: see hint.
	action, id string
	conds      []string
	Args       []any
}

// New begins a statement without conditions.
func New(d Dialect) *Where { return &Where{d: d, action: "action", id: "id"} }

// The prefix lengths from which on a network is small enough to sort its rows of a day.
const (
	smallV4 = 20
	smallV6 = 40
)

// hint chooses the index: that of an author, a client or a name rather than that of actions, and,
// for an engine that keeps no statistics, that of a small network rather than the order of time.
func (w *Where) hint(q *store.Query) {
	for i := range q.Terms {
		t := &q.Terms[i]
		if t.Not {
			continue
		}
		switch t.Field {
		case store.FieldIP:
			if t.Net.Addr().Is4() && t.Net.Bits() >= smallV4 || t.Net.Addr().Is6() && t.Net.Bits() >= smallV6 {
				w.action = w.d.Action
				if !t.Net.IsSingleIP() {
					w.id = w.d.ID
				}
			}
		case store.FieldAuthor:
			if len(t.Values) == 1 && !strings.HasPrefix(t.Values[0], "*") {
				w.action = w.d.Action
			}
		case store.FieldRef, store.FieldQID, store.FieldName, store.FieldMessageID:
			w.action = w.d.Action
		}
	}
}

// Arg adds an argument and returns its placeholder.
func (w *Where) Arg(v any) string {
	w.Args = append(w.Args, v)
	return w.d.Placeholder(len(w.Args))
}

// And adds a condition.
func (w *Where) And(format string, args ...any) {
	w.conds = append(w.conds, fmt.Sprintf(format, args...))
}

// String returns the WHERE clause.
func (w *Where) String() string {
	if len(w.conds) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(w.conds, " AND ")
}

// Day adds the bounds of a day and of a query in time.
func (w *Where) Day(d store.Day, q *store.Query) {
	since, until := max(d.Start(), q.Since), d.End()
	if q.Until > 0 {
		until = min(until, q.Until)
	}
	// Constants, not arguments: the planner of PostgreSQL then prunes partitions.
	w.And("%[1]s >= %[2]d AND %[1]s < %[3]d", w.id, store.FirstID(since), store.FirstID(until))
}

// Page returns the statement for a page of a day, from a table that holds it.
func Page(d Dialect, table string, day store.Day, q *store.Query, p store.Cursor) (statement string, args []any) {
	w := New(d)
	w.hint(q)
	w.Day(day, q)
	w.Query(q)
	order := "DESC"
	switch {
	case p.After > 0:
		w.And("%s > %s", w.id, w.Arg(p.After))
		order = "ASC"
	case p.Before > 0:
		w.And("%s < %s", w.id, w.Arg(p.Before))
	}
	statement = "SELECT " + Columns + " FROM " + table + w.String() + " ORDER BY " + w.id + " " + order + " LIMIT " + w.Arg(p.Limit)
	return statement, w.Args
}

// Query adds the terms of a search.
func (w *Where) Query(q *store.Query) {
	for i := range q.Terms {
		t := &q.Terms[i]
		cond := w.term(t)
		if t.Not {
			cond = "NOT (" + cond + ")"
		}
		w.conds = append(w.conds, cond)
	}
	if q.Node != 0 {
		w.And("node = %s", w.Arg(q.Node))
	}
}

func (w *Where) term(t *store.Term) string {
	if t.Field == store.FieldIP {
		return w.network(t.Net)
	}
	parts := make([]string, len(t.Values))
	for i, v := range t.Values {
		parts[i] = w.value(t.Field, v)
	}
	cond := strings.Join(parts, " OR ")
	if len(parts) > 1 {
		cond = "(" + cond + ")"
	}
	if !t.Not && (t.Field == store.FieldAction || t.Field == store.FieldApplied) && !contains(t.Values, "accept") {
		// The words of the partial index, or SQLite does not use it. What is applied is never
		// above the action, so this leaves nothing out.
		cond = w.action + " <> 'accept' AND " + cond
	}
	return cond
}

func contains(list []string, s string) bool {
	for _, v := range list {
		if v == s {
			return true
		}
	}
	return false
}

// network holds for addresses within p. A missing address is in no network.
func (w *Where) network(p netip.Prefix) string {
	first := p.Masked().Addr()
	if p.IsSingleIP() {
		return "(ip IS NOT NULL AND ip = " + w.Arg(w.d.IP(first)) + ")"
	}
	cond := "ip IS NOT NULL AND ip >= " + w.Arg(w.d.IP(first)) + " AND ip <= " + w.Arg(w.d.IP(last(p)))
	if w.d.IPLength != "" {
		cond += fmt.Sprintf(" AND "+w.d.IPLength, first.BitLen()/8)
	}
	return "(" + cond + ")"
}

// last returns the highest address of a network.
func last(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 1 << (7 - i%8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

var columns = map[store.Field]string{store.FieldAuthor: "author", store.FieldMailFrom: "mfrom", store.FieldHelo: "helo", store.FieldApplied: "applied",
	store.FieldAction: "action", store.FieldReason: "reason", store.FieldSPF: "spf", store.FieldARC: "arc", store.FieldDMARC: "dmarc", store.FieldPolicy: "p",
	store.FieldList: "list", store.FieldQID: "qid", store.FieldDoor: "door"}

// Column returns the column of a field that Top may count.
func Column(f store.Field) (string, bool) {
	c, ok := columns[f]
	return c, ok
}

func (w *Where) value(f store.Field, v string) string {
	switch f {
	case store.FieldAuthor, store.FieldMailFrom, store.FieldList:
		return w.domain(columns[f], v)
	case store.FieldHelo:
		return w.domain("lower(helo)", v)
	case store.FieldDomain:
		return "(" + w.domain("author", v) + " OR " + w.domain("mfrom", v) + ")"
	case store.FieldDKIM:
		return w.like("dkim", "%"+escape(store.DKIMPart(v))+"%")
	case store.FieldRule:
		return w.like("why", "%"+escape(v)+"%")
	case store.FieldRef:
		n, _ := store.RefNumber(v)
		return "ref = " + w.Arg(n)
	case store.FieldName:
		if n, ok := store.RefNumber(v); ok {
			return "(ref = " + w.Arg(n) + " OR qid = " + w.Arg(v) + ")"
		}
		return "qid = " + w.Arg(v)
	case store.FieldMessageID: // the words of the partial index
		hash, _ := hex.DecodeString(v)
		return "(mid IS NOT NULL AND mid = " + w.Arg(hash) + ")"
	}
	if f == store.FieldAction {
		return w.action + " = " + w.Arg(v)
	}
	return columns[f] + " = " + w.Arg(v)
}

func (w *Where) domain(column, v string) string {
	if below, ok := strings.CutPrefix(v, "*"); ok {
		return w.like(column, "%"+escape(below))
	}
	return column + " = " + w.Arg(v)
}

// like compares with letters in their case: SQLite is told so once for each connection.
func (w *Where) like(column, pattern string) string {
	return column + " LIKE " + w.Arg(pattern) + ` ESCAPE '\'`
}

var escape = strings.NewReplacer(`\`, `\\`, "%", `\%`, "_", `\_`).Replace

// Forget adds the condition for rows that are to be removed: those of a domain and the names
// below it in any part, or of a network.
func (w *Where) Forget(f store.Forgotten) {
	if f.Domain == "" {
		w.And("%s", w.network(f.Net))
		return
	}
	var parts []string
	for _, column := range []string{"author", "mfrom", "lower(helo)", "list", "spf_domain", "policy_domain"} {
		parts = append(parts, w.domain(column, f.Domain), w.domain(column, "*."+f.Domain))
	}
	for _, pattern := range []string{"%:" + escape(f.Domain) + "/%", "%." + escape(f.Domain) + "/%"} {
		parts = append(parts, w.like("dkim", pattern))
	}
	for _, pattern := range []string{f.Domain, f.Domain + ",%", "%," + escape(f.Domain), "%," + escape(f.Domain) + ",%", "%." + escape(f.Domain), "%." + escape(f.Domain) + ",%"} {
		parts = append(parts, w.like("authors", pattern))
	}
	w.And("(%s)", strings.Join(parts, " OR "))
}
