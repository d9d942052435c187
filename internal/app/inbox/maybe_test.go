package inbox

import (
	"encoding/json"
	"net/netip"
	"testing"

	"postseal/report"
	"postseal/store"
)

// TestMayBeOf: a record of a source is never skipped unread, however it is written, and those of others mostly are.
func TestMayBeOf(t *testing.T) {
	rows := []report.Record{}
	for _, ip := range []string{"192.0.2.9", "192.0.3.9", "2001:db8::1", "::ffff:192.0.2.9", "2001:db8:1::1"} {
		for _, signer := range []string{"", "bulk.test", "Mail.BULK.test", "b\u00fccher.test", "xn--bcher-kva.test", "shop.example"} {
			r := report.Record{IP: netip.MustParseAddr(ip), Count: 1, HeaderFrom: "shop.example"}
			if signer != "" {
				r.AuthDKIM = []report.DKIMAuth{{Domain: signer, Result: "pass"}}
			}
			rows = append(rows, r)
			r.AuthDKIM, r.AuthSPF = nil, []report.SPFAuth{{Domain: signer, Result: "pass"}}
			rows = append(rows, r)
		}
	}
	sums := map[sourceKey]*SourceSum{}
	for i := range rows {
		kind, name := sourceOf(&rows[i])
		sums[sourceKey{kind, name}] = &SourceSum{}
	}
	unread := 0
	for key, sum := range sums {
		may := mayBeOf(&counting{of: sums}, sum)
		for i := range rows {
			text, err := json.Marshal(&rows[i])
			if err != nil {
				t.Fatal(err)
			}
			ok := may(&store.InboundRow{IP: rows[i].IP.String(), Record: string(text)})
			if kind, name := sourceOf(&rows[i]); !ok && (sourceKey{kind, name}) == key {
				t.Errorf("%+v: a record is skipped: %s", key, text)
			}
			if !ok {
				unread++
			}
		}
	}
	if all := len(sums) * len(rows); unread*2 < all {
		t.Errorf("%d of %d records are not read", unread, all)
	}
}
