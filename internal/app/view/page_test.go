package view

import "testing"

func TestThousands(t *testing.T) {
	for in, want := range map[string]string{"0": "0", "999": "999", "1318912": "1,318,912", "340282366920938463463374607431768211456": "2^128", "x": "x"} {
		if got := thousands(in); got != want {
			t.Errorf("thousands(%q) = %q, want %q", in, got, want)
		}
	}
}
