package stub

import (
	"errors"
	"io/fs"
	"testing"
)

// TestSystem: one call gives a resolver, wherever the system names its servers.
func TestSystem(t *testing.T) {
	r, err := System()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		t.Skip("this system has no " + resolvConf)
	case err != nil || r == nil:
		t.Fatalf("System: %v, %v", r, err)
	}
	if n := r.Stats().Entries; n != 0 {
		t.Errorf("%d entries in a new cache", n)
	}
}
