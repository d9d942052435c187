package sqlreports

import "postseal/store"

// Planned is a statement of a page with the index that it has to use: what it reads is bounded only with it.
type Planned struct {
	Name, Text, Index string
	Args              []any
}

// Planned are statements about a domain, for tests of their plans.
func (d *DB) Planned(domain string, since store.Day) []Planned {
	first, args := firstDaysOf(domain, []store.SourceName{{Kind: "net", Source: "10.0.1.0/24"}, {Kind: "net", Source: "10.0.2.0/24"}}, firstLooks)
	list := []Planned{
		{"FirstDays", d.sql(first), "source_day_first", args},
		{"PolicyDays", d.sql(policyDaysText), "inbound_domain", []any{domain, int64(400)}},
		{"the reports of OutgoingCounts", d.sql(countTexts[0]), "report_became", []any{int64(since)}},
		{"the deliveries of OutgoingCounts", d.sql(countTexts[1]), "delivery_became", []any{int64(since)}},
		{"the next report of OutgoingCounts", d.sql(countTexts[2]), "report_", []any{int64(since)}},
		{"the next delivery of OutgoingCounts", d.sql(countTexts[3]), "delivery_", []any{int64(since)}},
	}
	for _, state := range []string{store.OutFailed, store.OutSuppressed} {
		text, args := outgoing(&store.ReportFilter{State: state, Since: since, Limit: 50})
		list = append(list, Planned{"Outgoing, " + state, d.sql(text), "delivery_became", args})
	}
	return list
}
