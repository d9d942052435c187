package whatif

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"

	"postseal"
	"postseal/internal/app/replay"
)

// TestMerge: the parts of several hosts, as they come in JSON and in any order, make the report of one host that has
// the messages of all.
func TestMerge(t *testing.T) {
	const messages, hosts = 400, 3
	rand := rand.New(rand.NewPCG(1, 2))
	whole := newTally()
	var split [hosts]*tally
	for i := range split {
		split[i] = newTally()
		split[i].Accepted = true
	}
	for i := range messages {
		to := []postseal.Action{postseal.Reject, postseal.Quarantine}[rand.IntN(2)]
		x := shared{Change{Sender: fmt.Sprintf("192.0.2.%d/24", rand.IntN(4)), Author: fmt.Sprintf("a%d.test", rand.IntN(3)), From: postseal.Accept, To: to, N: 1,
			Looks: replay.Unclear, Refs: []string{fmt.Sprintf("REF%05d", i)}}, []int64{int64(messages - i)}} // the newest first
		for _, p := range []*tally{whole, split[rand.IntN(hosts)]} {
			p.Messages++
			p.Changed++
			p.addWay(&Way{From: x.From, To: x.To, N: 1, Looks: map[replay.Looks]int{x.Looks: 1}})
			one := x
			p.addChange(&one)
		}
	}
	want := Merge(&Report{Accepted: true}, whole.part())
	want.Accepted = true
	for _, order := range [][]int{{0, 1, 2}, {2, 0, 1}} {
		var parts []*Part
		for _, i := range order {
			text, err := json.Marshal(split[i].part())
			if err != nil {
				t.Fatal(err)
			}
			p := new(Part)
			if err := json.Unmarshal(text, p); err != nil {
				t.Fatal(err)
			}
			parts = append(parts, p)
		}
		if got := Merge(&Report{Accepted: true}, append(parts, &Part{None: true})...); !reflect.DeepEqual(got, want) {
			t.Errorf("%v: %+v\nwant %+v", order, got, want)
		}
	}
	if split[0].Accepted = false; Merge(&Report{Accepted: true}, split[0].part(), split[1].part()).Accepted {
		t.Error("one host without accepted mail is enough to lack some")
	}
	if refs := want.Changes[0].Refs; len(refs) != maxRefs || len(want.Changes) != 4*3*2 {
		t.Errorf("%d changes, the first with %v", len(want.Changes), refs)
	}
}

// TestHostNotes: what is said of hosts, and nothing of one that shares nothing.
func TestHostNotes(t *testing.T) {
	number := func(n int) string { return fmt.Sprint(n) }
	for _, c := range []struct {
		report Report
		want   []string
	}{
		{Report{}, nil},
		{Report{Hosts: []Host{{Name: "mx1", Messages: 2}, {Name: "mx2", Messages: 3}}}, []string{"Messages seen by host: mx1 (2), mx2 (3)."}},
		{Report{Hosts: []Host{{Name: "mx1", Messages: 2}, {Name: "mx2", Unseen: "it does not answer", Missing: 4, AtLeast: true}}},
			[]string{"Messages seen by host: mx1 (2).", "Not seen: messages of mx2 (at least 4): it does not answer."}},
		{Report{Hosts: []Host{{Name: "mx1", Messages: 2}}, Unasked: noAnswer}, []string{"Messages seen by host: mx1 (2).", "The messages of other hosts were not seen: the database does not answer."}},
	} {
		if got := c.report.HostNotes(number); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}
