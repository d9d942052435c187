package rules

import (
	"strings"
	"testing"
	"time"

	"postseal"
)

// TestNarrow: the entry accepts its message, and neither the same sender's other mail nor the
// same mail from others.
func TestNarrow(t *testing.T) {
	tests := []struct {
		name   string
		mail   mail
		whole  bool
		want   Exempt
		others []mail
	}{
		{"list", list, true, Exempt{DKIM: "lists.example.net", ListID: "anvils.lists.example.net"}, []mail{forged, fakeList}},
		{"list of which the evidence names the organization only", list, false, Exempt{DKIM: "lists.example.net"}, []mail{forged, fakeList}},
		{"forwarder", keydown, true, Exempt{SPF: "forwarder.example", Author: "keydown.example"}, []mail{forged, list}},
		{"nothing passes", forged, true, Exempt{IP: "203.0.113.7", Author: "bank.test"}, []mail{twoFrom, list}},
		{"no single author", twoFrom, true, Exempt{IP: "203.0.113.7"}, []mail{list}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, _ := decide(t, tt.mail, postseal.Strict, "")
			got, err := Narrow(r, tt.whole, now)
			if err != nil {
				t.Fatal(err)
			}
			if got.Why == "" || got.Until.String() != "2027-01-31" {
				t.Errorf("why %q, until %s", got.Why, got.Until)
			}
			short := got
			short.Why, short.Until = "", tt.want.Until
			if short != tt.want {
				t.Errorf("Narrow = %+v, want %+v", short, tt.want)
			}
			if !got.Accepts(r) {
				t.Error("it does not accept the message")
			}
			if problems := got.Problems(now); len(problems) > 0 {
				t.Errorf("problems: %v", problems)
			}
			for _, m := range tt.others {
				if other, _ := decide(t, m, postseal.Strict, ""); got.Accepts(other) {
					t.Errorf("it accepts %s %s too", m.file, m.text)
				}
			}
		})
	}
}

// TestNarrowWhy: the reason says what was done to the message, if that is not what its policy asked for.
func TestNarrowWhy(t *testing.T) {
	for mode, want := range map[postseal.Enforce]string{postseal.Strict: "was reject (dmarc.reject)", postseal.Observe: ": verdict reject (dmarc.reject), applied accept"} {
		r, _ := decide(t, forged, mode, "")
		if e, err := Narrow(r, true, now); err != nil || !strings.HasSuffix(e.Why, want) {
			t.Errorf("%s: %q, %v, want %q", mode, e.Why, err, want)
		}
	}
}

func TestNarrowCannot(t *testing.T) {
	r, _ := decide(t, hugeHeader, postseal.Strict, "")
	if e, err := Narrow(r, true, time.Now()); err == nil {
		t.Errorf("over a limit: %+v", e)
	}
	r, _ = decide(t, forged, postseal.Strict, "")
	r.Conn = postseal.Conn{}
	if e, err := Narrow(r, true, time.Now()); err == nil {
		t.Errorf("client not known: %+v", e)
	}
}
