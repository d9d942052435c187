package cli

import (
	"strings"
	"testing"
	"time"

	"postseal/internal/app/fleet"
	"postseal/internal/app/history"
	"postseal/internal/app/view"
)

// TestSharedConfigs: what config history and config push show of each host, as text and by the schema.
func TestSharedConfigs(t *testing.T) {
	at := time.Date(2026, 11, 30, 10, 0, 0, 0, time.UTC)
	list := []fleet.Config{{N: 3, State: fleet.Staged, Author: "root@mx1", Made: at}, {N: 2, State: fleet.Active, Author: "root@mx1", Note: "a\x1b[31mb", Made: at, Active: at}, {N: 1, State: fleet.Replaced, Made: at}}
	members := []fleet.Member{{Name: "mx1", Config: 2, Judged: 2}, {Name: "mx2", Config: 1, Judged: 2, Judgement: "f.toml:1:1: no\nf.toml:2:2: \x1b[31mnever"}, {Name: "mx3", Config: 2, Away: true},
		{Name: "mx4", Config: fleet.OwnConfig, Skew: 7 * time.Minute}, {Name: "mx5", Config: 1, Judged: 2}, {Name: "mx6", Config: 1, Judged: 1}}
	for _, format := range []string{"text", "json"} {
		var out strings.Builder
		p := &view.Page{W: &out, Format: format}
		if err := p.SharedConfigs(list, members); err != nil {
			t.Fatal(err)
		}
		if err := p.Pushed(2, true, members); err != nil {
			t.Fatal(err)
		}
		if format == "json" {
			if err := matchSchema("shared-config", out.String()); err != nil {
				t.Error(err)
			}
			continue
		}
		for _, want := range []string{"3  staged", "2  active", "mx1  uses 2\n", "mx2  uses 1, and refuses 2:\n      f.toml:1:1: no\n      f.toml:2:2: ", "mx3  not running\n", "mx4  uses its own configuration  its clock is 7m0s fast\n",
			"mx5  uses 1, and can use 2\n", "mx6  uses 1, and did not answer\n"} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("no %q in\n%s", want, out.String())
			}
		}
		if strings.Contains(out.String(), "\x1b") {
			t.Errorf("an escape of a host or a note reaches the terminal: %q", out.String())
		}
	}
	for i, refused := range []bool{false, true, false, true, false, true} {
		if i != 3 && view.Refused(members[i:i+1], 2) != refused {
			t.Errorf("%s: refused is %v", members[i].Name, !refused)
		}
	}
}

// TestStatusOfFleet: store status shows the clocks of hosts that run, and names one that is wrong.
func TestStatusOfFleet(t *testing.T) {
	s := &history.Status{Schema1: history.StatusSchema, Engine: "postgres", Nodes: []history.Node{{Slot: 1, Name: "mx1"}, {Slot: 2, Name: "mx2"}, {Slot: 3, Name: "mx3", Behind: true}}, Lost: []history.Lost{}}
	skewOf(s, []fleet.Member{{Name: "mx1", Skew: -3 * time.Second}, {Name: "mx2", Skew: -2 * time.Minute}, {Name: "mx3", Skew: time.Hour, Away: true}})
	for format, want := range map[string]string{"text": "its clock is 2m0s slow", "json": `"skew_seconds":-120`} {
		var out strings.Builder
		if err := (&view.Page{W: &out, Format: format}).StoreStatus(s); err != nil {
			t.Fatal(err)
		}
		if format == "json" {
			if err := matchSchema("store", out.String()); err != nil {
				t.Error(err)
			}
		}
		if got := out.String(); strings.Count(strings.ReplaceAll(got, " ", ""), strings.ReplaceAll(want, " ", "")) != 1 || strings.Contains(got, "1h0m0s fast") || strings.Contains(got, "3600") || strings.Count(got, "its clock") > 1 {
			t.Errorf("%s: want one %q in\n%s", format, want, got)
		}
	}
}
