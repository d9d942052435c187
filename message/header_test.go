package message

import "testing"

func TestHeader(t *testing.T) {
	var h Header
	for _, raw := range []string{"A: 1", "b: 2", "B : 3"} {
		f, ok := ParseField([]byte(raw))
		if !ok {
			t.Fatalf("%q is no field", raw)
		}
		h.Add(f)
	}
	if h.Len() != 3 || h.Size() != 13 || h.Count("B") != 2 || h.Index("B") != 1 || h.Index("C") != -1 || string(h.At(2).Value()) != " 3" {
		t.Errorf("%d fields of %d octets, %d of B from %d", h.Len(), h.Size(), h.Count("B"), h.Index("B"))
	}
}
