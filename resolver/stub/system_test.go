package stub

import "testing"

// TestSystem: one call gives a resolver where the system names its servers, and else the error that
// says so.
func TestSystem(t *testing.T) {
	_, want := SystemServers()
	r, err := System()
	switch {
	case want != nil:
		if err == nil || err.Error() != want.Error() {
			t.Errorf("System: %v, want %v", err, want)
		}
	case err != nil:
		t.Error(err)
	case r.Stats().Entries != 0:
		t.Errorf("%d entries in a new cache", r.Stats().Entries)
	}
}
