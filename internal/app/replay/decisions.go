package replay

import (
	"encoding/json"
	"slices"

	"postseal"
)

// Decisions holds the decisions of several policies; in JSON it is an object with the policies'
// names. There are few of them, and a map would use more memory than the rest of a Record.
type Decisions []Decided

// Decided is the decision of one policy.
type Decided struct {
	Policy   string
	Decision postseal.Decision
}

// Of returns the decision of a policy, or false if that policy was not requested.
func (d Decisions) Of(policy string) (postseal.Decision, bool) {
	i := slices.IndexFunc(d, func(one Decided) bool { return one.Policy == policy })
	if i < 0 {
		return postseal.Decision{}, false
	}
	return d[i].Decision, true
}

// MarshalJSON implements json.Marshaler.
func (d Decisions) MarshalJSON() ([]byte, error) {
	object := make(map[string]postseal.Decision, len(d))
	for _, one := range d {
		object[one.Policy] = one.Decision
	}
	return json.Marshal(object)
}

// UnmarshalJSON implements json.Unmarshaler.
func (d *Decisions) UnmarshalJSON(data []byte) error {
	var object map[string]postseal.Decision
	if err := json.Unmarshal(data, &object); err != nil {
		return err
	}
	if *d = nil; object != nil {
		*d = make(Decisions, 0, len(object))
	}
	for policy, decision := range object {
		*d = append(*d, Decided{policy, decision})
	}
	return nil
}
