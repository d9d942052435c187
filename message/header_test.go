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
	var c Header
	c.Add(Field{Raw: []byte("Long: to be gone"), Colon: 4})
	if c.Assign(&h); c.Len() != 3 || c.Size() != 13 || string(c.At(2).Raw) != "B : 3" || &c.Octets()[0] == &h.Octets()[0] {
		t.Errorf("the copy: %q", c.Octets())
	}
	if h.Reset(); h.Len() != 0 || h.Size() != 0 || h.Index("A") != -1 {
		t.Error("fields are left after Reset")
	}
}
