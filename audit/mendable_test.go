package audit

import "testing"

// TestMendable: where a record can remove a finding, that record is built.
func TestMendable(t *testing.T) {
	for _, rule := range rules {
		f := &Finding{ID: rule.ID, Where: Where{Name: "a.test", Offset: 8, Record: "v=spf1 a:x.test mx ~all"}}
		for _, record := range []string{"v=spf1 a:x.test mx ~all", "v=spf1 mx"} {
			if _, fixes, err := fixSPF([]string{record}, []*Finding{f}); err == nil && fixes(f) && !mendable([]*Finding{f}) {
				t.Errorf("%s: the record of SPF is not built", rule.ID)
			}
		}
		for _, record := range []string{"v=DMARC1; p=reject; rua=mailto:d@a.test", "v=DMARC1; p=none"} {
			if _, fixes, err := fixDMARC([]string{record}, []*Finding{f}, "mailto:d@a.test"); err == nil && fixes(f) && !mendable([]*Finding{f}) {
				t.Errorf("%s: the record of DMARC is not built", rule.ID)
			}
		}
		if _, fixes, err := fixKey("v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=", nil); err == nil && fixes(f) && !mendable([]*Finding{f}) {
			t.Errorf("%s: the key is not built", rule.ID)
		}
		if unreadable[rule.ID] && !mendable([]*Finding{f}) {
			t.Errorf("%s: nothing says why there is no record", rule.ID)
		}
	}
}
