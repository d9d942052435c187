package suites

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Outcome is what the engine said about a case, by field: a string, a bool or a list of
// strings.
type Outcome map[string]any

// Verdict is how a case ended.
type Verdict struct {
	Problem string // what differs, "" when the case passes
	Unsafe  bool   // the outcome has a value that the case calls unsafe
}

// String returns the problem, marked when the outcome is unsafe.
func (v Verdict) String() string {
	if v.Unsafe {
		return "UNSAFE: " + v.Problem
	}
	return v.Problem
}

// Run runs the case and compares the outcome with what the case wants.
func (c *OpenCase) Run(ctx context.Context) Verdict {
	got, err := runners[c.Kind](ctx, c)
	if err != nil {
		return Verdict{Problem: err.Error()}
	}
	var problems []string
	for _, field := range slices.Sorted(maps.Keys(c.Want)) {
		switch ok, err := accepts(field, c.Want[field], got[field]); {
		case err != nil:
			problems = append(problems, fmt.Sprintf("%s: %v", field, err))
		case !ok:
			problems = append(problems, fmt.Sprintf("%s: got %v, want %s", field, got[field], c.Want[field]))
		}
	}
	if len(problems) == 0 {
		return Verdict{}
	}
	v := Verdict{Problem: strings.Join(problems, "; ")}
	for field, values := range c.Unsafe {
		ok, err := accepts(field, values, got[field])
		v.Unsafe = v.Unsafe || ok && err == nil
	}
	return v
}

// accepts reports whether got is one of the values that a case lists for field. For results,
// each signature has its own list. Lists of domains have no order.
func accepts(field string, values json.RawMessage, got any) (bool, error) {
	switch got := got.(type) {
	case nil:
		return false, fmt.Errorf("there is no such field in the outcome")
	case bool:
		var one bool
		if json.Unmarshal(values, &one) == nil {
			return got == one, nil
		}
		var list []bool
		err := json.Unmarshal(values, &list)
		return slices.Contains(list, got), err
	case string:
		var list []string
		err := json.Unmarshal(values, &list)
		return slices.Contains(list, got), err
	case []string:
		var lists [][]string
		if err := json.Unmarshal(values, &lists); err != nil {
			return false, err
		}
		if field == "results" {
			return slices.EqualFunc(got, lists, func(g string, any []string) bool { return slices.Contains(any, g) }), nil
		}
		return slices.ContainsFunc(lists, func(l []string) bool {
			if field == "author" {
				return slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(l)))
			}
			return slices.Equal(got, l)
		}), nil
	}
	return false, fmt.Errorf("outcome of type %T", got)
}
