package inbox

import (
	"context"
	"fmt"
	"reflect"
	"testing"

	"postseal/store"
)

// policyStore is an Inbox of which the reports show policies, the newest day first.
type policyStore struct {
	store.Inbox
	shown []string
}

func (s policyStore) PolicyDays(context.Context, string, int) (all []store.PolicyDay, err error) {
	for i, p := range s.shown {
		all = append(all, store.PolicyDay{Day: store.Day(1000 - i), Meta: fmt.Sprintf(`{"policy":{"p":%q}}`, p)})
	}
	return all, nil
}

// TestAskPolicies: a policy holds since the day after the last one with a milder policy; what the oldest report shows
// may be older.
func TestAskPolicies(t *testing.T) {
	day := func(n int) string { return store.Day(n).String() }
	for _, c := range []struct {
		name  string
		shown []string
		want  []PolicySince
	}{
		{"no report", nil, nil},
		{"one policy", []string{"none", "none"}, []PolicySince{{"none", day(999), false}}},
		{"a change", []string{"quarantine", "quarantine", "none"}, []PolicySince{{"none", day(998), false}, {"quarantine", day(999), true}}},
		{"two changes", []string{"reject", "quarantine", "none"}, []PolicySince{{"none", day(998), false}, {"quarantine", day(999), true}, {"reject", day(1000), true}}},
		{"a break", []string{"quarantine", "none", "quarantine"}, []PolicySince{{"none", day(998), false}, {"quarantine", day(1000), true}}},
		{"milder now", []string{"none", "reject"}, []PolicySince{{"none", day(999), false}}},
		{"from the start", []string{"reject", "reject"}, []PolicySince{{"none", day(999), false}, {"quarantine", day(999), false}, {"reject", day(999), false}}},
		{"a report without a policy", []string{"reject", "", "x", "none"}, []PolicySince{{"none", day(997), false}, {"quarantine", day(1000), true}, {"reject", day(1000), true}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := Summary{}
			if err := s.AskPolicies(t.Context(), policyStore{shown: c.shown}); err != nil || len(s.Policies)+len(c.want) > 0 && !reflect.DeepEqual(s.Policies, c.want) {
				t.Errorf("%+v, want %+v, %v", s.Policies, c.want, err)
			}
		})
	}
}
