package rules

import (
	"fmt"
	"strings"
	"testing"

	"postseal"
)

// TestCost: a rule over recipients holds for as many of them as a listener keeps, and one that
// costs too much is not passed by: on_error decides, defer by default.
func TestCost(t *testing.T) {
	many := make([]string, 10_000)
	for i := range many {
		many[i] = fmt.Sprintf("user%d@here.test", i)
	}
	const all = `when = 'envelope.rcpt.all(r, r.endsWith("@here.test"))'` + "\n"
	const square = `when = 'envelope.rcpt.all(a, envelope.rcpt.all(b, a.endsWith("@here.test") && b.endsWith("@here.test")))'` + "\n"
	for _, tt := range []struct {
		name, rule string
		recipients int
		want       postseal.Action
		warning    bool
	}{
		{"one recipient", all, 1, postseal.Reject, false},
		{"3,000 recipients", all, 3000, postseal.Reject, false},
		{"10,000 recipients", all, 10_000, postseal.Reject, false},
		{"a costly rule, few recipients", square, 3, postseal.Reject, true},
		{"a costly rule, many recipients", square, 10_000, postseal.Defer, true},
		{"a costly rule that quarantines", square + "on_error = 'quarantine'\n", 10_000, postseal.Quarantine, true},
		{"an expression that fails does not match", "when = 'dkim[100].domain == \"x\"'\n", 1, postseal.Accept, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			config := "[[rule]]\naction = 'reject'\n" + tt.rule
			r, policy := decide(t, plain, postseal.Strict, config)
			r.Recipients = many[:tt.recipients]
			if d := policy.Decide(r); d.Applied != tt.want {
				t.Errorf("applied %s (%s), want %s", d.Applied, d.Reason, tt.want)
			}
			_, problems := Compile(Config{Rule: []Rule{{When: strings.Split(tt.rule, "'")[1], Action: "reject"}}}, now)
			if warned := len(problems) > 0 && problems[0].Warning; warned != tt.warning {
				t.Errorf("problems %v, want a warning: %t", problems, tt.warning)
			}
		})
	}
}

func TestOnErrorWord(t *testing.T) {
	set, problems := Compile(Config{Rule: []Rule{{When: "true", Action: "reject", OnError: "drop"}}}, now)
	if set != nil || len(problems) != 1 || problems[0].Key != "on_error" {
		t.Errorf("Compile = %v, %v", set, problems)
	}
}
