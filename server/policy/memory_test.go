package policy_test

import (
	"strings"
	"testing"

	"postseal/server/listener"
)

// TestMemoryShort: the client comes again; what was deferred is not remembered.
func TestMemoryShort(t *testing.T) {
	f := newFixture(t, rejectFail, "")
	request := all + "|sender=a@e.test|instance=1"
	f.engine.Memory = listener.NewMemory(1, "off")
	if got := f.ask(t, request); !strings.HasPrefix(got, "action=DEFER_IF_PERMIT 4.3.2 ") {
		t.Errorf("got %q, want DEFER_IF_PERMIT 4.3.2", got)
	}
	f.engine.Memory = nil
	if got := f.ask(t, request); !strings.HasPrefix(got, "action=550 ") {
		t.Errorf("with memory again: %q, want 550", got)
	}
}
