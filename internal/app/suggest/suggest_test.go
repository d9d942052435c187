package suggest

import "testing"

func TestOf(t *testing.T) {
	modes := []string{"observe", "quarantine", "guarded", "strict"}
	for word, want := range map[string]string{"gaurded": "guarded", "strickt": "strict", "quarantaine": "quarantine", "off": "", "": "", "guarded": "guarded"} {
		if got := Of(word, modes); got != want {
			t.Errorf("Of(%q) = %q, want %q", word, got, want)
		}
	}
	if got := Of("temfail", []string{"accept", "tempfail"}); got != "tempfail" {
		t.Errorf("a letter left out: got %q", got)
	}
	if got := Of(string(make([]byte, 1000)), modes); got != "" {
		t.Errorf("a long word: got %q, want none", got)
	}
}
