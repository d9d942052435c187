package postfix

import (
	"slices"
	"testing"
)

func TestPlan(t *testing.T) {
	milter := Listeners{Milter: "unix:postseal/milter.sock", DefaultAction: "tempfail"}
	policy := Listeners{Policy: "unix:postseal/policy.sock"}
	const entry, ask = "{ unix:postseal/milter.sock, default_action=tempfail }", "check_policy_service unix:postseal/policy.sock"
	tests := []struct {
		name, value string
		listeners   Listeners
		want        string // "" is not a change
	}{
		{"no milter", "", milter, entry},
		{"in front of others", "inet:127.0.0.1:8893", milter, entry + ", inet:127.0.0.1:8893"},
		{"there already", "unix:postseal/milter.sock", milter, ""},
		{"there already, in braces, after another", "inet:127.0.0.1:11332, { unix:postseal/milter.sock, connect_timeout=10s }", milter, ""},
		{"a longer name is another one", "unix:postseal/milter.sock2", milter, entry + ", unix:postseal/milter.sock2"},

		{"no restrictions", "", policy, "permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination, " + ask},
		{"after the relay check", "permit_mynetworks reject_unauth_destination reject_rbl_client rbl.example permit", policy,
			"permit_mynetworks reject_unauth_destination, " + ask + " reject_rbl_client rbl.example permit"},
		{"after it, with commas and braces", "permit_mynetworks, reject_unauth_destination, check_policy_service { inet:127.0.0.1:10023, timeout=5s }", policy,
			"permit_mynetworks, reject_unauth_destination, " + ask + ", check_policy_service { inet:127.0.0.1:10023, timeout=5s }"},
		{"relay check elsewhere", "permit_mynetworks, check_sender_access hash:/etc/x, permit", policy,
			"permit_mynetworks, check_sender_access hash:/etc/x, " + ask + ", permit"},
		{"no relay check, no permit", "$my_checks", policy, "$my_checks, " + ask},
		{"asked already", "reject_unauth_destination, check_policy_service unix:postseal/policy.sock", policy, ""},
		{"asked already, in braces", "check_policy_service { unix:postseal/policy.sock, timeout=10s }", policy, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := Defaults()
			s.Milters, s.Recipient = tt.value, tt.value
			changes := s.Plan(tt.listeners)
			got := ""
			if len(changes) > 0 {
				got = changes[0].New
			}
			if got != tt.want || len(changes) > 1 {
				t.Errorf("Plan = %q, want %q", got, tt.want)
			}
			s.Milters, s.Recipient = got, got
			if again := s.Plan(tt.listeners); got != "" && len(again) > 0 {
				t.Errorf("a second time: %+v", again)
			}
		})
	}
}

func TestPlanBoth(t *testing.T) {
	s := Defaults()
	s.expanded = map[string]string{Milters: "unix:postseal/milter.sock", Recipient: ""}
	s.Milters = "$verifier"
	got := s.Plan(Listeners{Milter: "unix:postseal/milter.sock", Policy: "inet:127.0.0.1:8892", DefaultAction: "accept"})
	if len(got) != 1 || got[0].Name != Recipient {
		t.Errorf("a milter named by a $name is there already: Plan = %+v", got)
	}
}

// TestPlanLineEnds: a Postfix that knows the parameter gets it, unless main.cf has it already,
// whatever it says.
func TestPlanLineEnds(t *testing.T) {
	for _, tt := range []struct {
		value    string
		explicit bool
		want     string // "" is not a change
	}{
		{"", false, ""}, // a Postfix from before
		{"no", false, "yes"},
		{"note", false, "yes"},
		{"no", true, ""},
		{"yes", true, ""},
		{"Normalize", false, ""},
		{"reject", true, ""},
	} {
		s := Defaults()
		s.BareNewline, s.Explicit[BareNewline] = tt.value, tt.explicit
		var want []Change
		if tt.want != "" {
			want = []Change{{Name: BareNewline, Old: tt.value, New: tt.want}}
		}
		if got := s.Plan(Listeners{}); !slices.Equal(got, want) {
			t.Errorf("%q, in main.cf %v: Plan = %+v, want %+v", tt.value, tt.explicit, got, want)
		}
	}
}

func TestEndpoint(t *testing.T) {
	for _, tt := range []struct {
		listener string
		chrooted bool
		want     string // "" is an error
	}{
		{"unix:/var/spool/postfix/postseal/milter.sock", true, "unix:postseal/milter.sock"},
		{"unix:/var/spool/postfix/postseal/milter.sock", false, "unix:postseal/milter.sock"},
		{"unix:/run/postseal/milter.sock", false, "unix:/run/postseal/milter.sock"},
		{"unix:/run/postseal/milter.sock", true, ""},
		{"unix:/var/spool/postfix-2/milter.sock", true, ""},
		{"unix:/var/spool/postfix/../x.sock", true, ""},
		{"unix:milter.sock", false, ""},
		{"127.0.0.1:8891", true, "inet:127.0.0.1:8891"},
		{"[::1]:8891", true, "inet:[::1]:8891"},
	} {
		s := Defaults()
		s.Chrooted = tt.chrooted
		if got, err := s.Endpoint(tt.listener); got != tt.want || (err != nil) != (tt.want == "") {
			t.Errorf("Endpoint(%s), chrooted %v = %q, %v; want %q", tt.listener, tt.chrooted, got, err, tt.want)
		}
	}
}

func TestOthers(t *testing.T) {
	s := Defaults()
	s.Milters = "{ unix:postseal/milter.sock, default_action=tempfail }, local:opendkim/opendkim.sock inet:localhost:8893,{inet:127.0.0.1:11332,x=y} unix:clamav.sock unix:opendmarc/x"
	if got, want := s.Others("unix:postseal/milter.sock"), []string{"opendkim", "opendmarc", "rspamd"}; !slices.Equal(got, want) {
		t.Errorf("Others = %q, want %q", got, want)
	}
}

func TestQuote(t *testing.T) {
	if got := Quote(`it's $x`); got != `'it'\''s $x'` {
		t.Errorf("Quote = %s", got)
	}
}
