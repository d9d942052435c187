package middleware

import (
	"errors"
	"testing"

	"postseal/resolver"
)

func TestFailure(t *testing.T) {
	var (
		fine     = resolver.Exchange{Name: "fine.test"}
		canceled = resolver.Exchange{Name: "canceled.test", Err: &resolver.Error{Kind: resolver.Canceled}}
		down     = resolver.Exchange{Name: "down.test", Err: &resolver.Error{Kind: resolver.ServFail}}
		other    = resolver.Exchange{Name: "other.test", Err: errors.New("something else")}
	)
	for _, c := range []struct {
		name      string
		exchanges []resolver.Exchange
		want      string
	}{
		{"none", []resolver.Exchange{fine}, ""},
		{"first", []resolver.Exchange{fine, down, other}, "down.test"},
		{"a failure before a cancellation", []resolver.Exchange{canceled, other, down}, "other.test"},
		{"only a cancellation", []resolver.Exchange{fine, canceled}, "canceled.test"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := ""
			if x := Failure(c.exchanges); x != nil {
				got = x.Name
			}
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
