package differential

import (
	"encoding/json"
	"errors"
	"flag"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

var (
	cases  = flag.Int("cases", 0, "how many cases of each kind to make, and to ask programs about; 30 for the Go libraries alone")
	first  = flag.Int("first", 0, "the number of the first case")
	seed   = flag.Uint64("seed", 1, "what the cases are made from")
	kinds  = flag.String("kinds", strings.Join(Kinds(), ","), "kinds of cases to make, separated by commas")
	shown  = flag.Int("show", 20, "how many unknown disagreements of a verifier to show")
	record = flag.String("record", "", "write what the run gave into this file, beside the kinds that are in it; cases that follow those of the file are added to them")
)

const keyDir = "../../testdata/keys"

// TestPrograms compares with every verifier that is installed.
func TestPrograms(t *testing.T) {
	MaxShown = *shown
	number := *cases
	if number == 0 {
		number = 30
	}
	for kind := range strings.SplitSeq(*kinds, ",") {
		t.Run(kind, func(t *testing.T) {
			tallies, err := Run(kind, keyDir, *seed, *first, number, installed(t, kind))
			if err != nil {
				t.Fatal(err)
			}
			for _, tally := range tallies {
				t.Log(tally)
				for _, text := range tally.Unclassed {
					t.Errorf("%s: %s", tally.Verifier, text)
				}
			}
			keep(t, kind, number, tallies)
		})
	}
}

func installed(t *testing.T, kind string) []Program {
	if *cases == 0 {
		t.Log("skipped: programs are asked with -args -cases 500, as .ci/run does")
		return nil
	}
	var here []Program
	for _, p := range Programs("drivers", os.Getenv("NODE_PATH")) {
		if !slices.Contains(p.Kinds, kind) {
			continue
		}
		if why := p.Missing(); why != "" {
			t.Logf("skipped: %s", why)
			continue
		}
		here = append(here, p)
	}
	return here
}

// keep writes the record of a kind.
func keep(t *testing.T, kind string, number int, tallies []*Tally) {
	if *record == "" {
		return
	}
	records := map[string]Record{}
	old, err := os.ReadFile(*record)
	if err == nil {
		err = json.Unmarshal(old, &records)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	r := Record{Date: time.Now().UTC().Format(time.DateOnly), Seed: *seed, First: *first, Cases: number, Tallies: tallies}
	if before, ok := records[kind]; ok && *first > 0 {
		if r, err = before.And(r); err != nil {
			t.Fatal(err)
		}
	}
	records[kind] = r
	text, err := json.MarshalIndent(records, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(*record, append(text, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestRecordAnd: a run in pieces counts like one run.
func TestRecordAnd(t *testing.T) {
	piece := func(first, cases, agree int, verifier string) Record {
		return Record{Date: "2026-11-30", Seed: 1, First: first, Cases: cases, Tallies: []*Tally{{Kind: "spf", Verifier: verifier, Cases: cases, Agree: agree, Classes: map[string]int{"x": cases - agree}}}}
	}
	got, err := piece(0, 10, 8, "pyspf").And(piece(10, 5, 5, "pyspf"))
	if err != nil || got.First != 0 || got.Cases != 15 || got.Tallies[0].Cases != 15 || got.Tallies[0].Agree != 13 || got.Tallies[0].Classes["x"] != 2 {
		t.Errorf("%+v, %v", got, err)
	}
	for name, next := range map[string]Record{"a gap": piece(11, 5, 5, "pyspf"), "again": piece(0, 10, 8, "pyspf"), "another verifier": piece(10, 5, 5, "mailauth")} {
		if _, err := piece(0, 10, 8, "pyspf").And(next); err == nil {
			t.Errorf("%s is added", name)
		}
	}
}

// TestDeterministic: the same seed and number make the same case.
func TestDeterministic(t *testing.T) {
	kinds, err := makers(keyDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range Kinds() {
		for n := range 50 {
			a, errA := json.Marshal(kinds[kind](7, n))
			b, errB := json.Marshal(kinds[kind](7, n))
			if errA != nil || errB != nil || string(a) != string(b) {
				t.Fatalf("%s case %d of seed 7 is not always the same: %v %v", kind, n, errA, errB)
			}
		}
	}
}

// TestClasses: each class says what decides, for whom and why.
func TestClasses(t *testing.T) {
	section := regexp.MustCompile(`^\d{4} §\d`)
	for _, kind := range Kinds() {
		meaning := map[string]string{}
		for _, c := range Classes(kind) {
			if c.ID == "" || c.Why == "" || !section.MatchString(c.RFC) || c.Right != ours && c.Right != both {
				t.Errorf("%s: incomplete: %+v", kind, c)
			}
			if rfc, ok := meaning[c.ID]; ok && rfc != c.RFC {
				t.Errorf("%s: %s stands for %s and for %s", kind, c.ID, rfc, c.RFC)
			}
			meaning[c.ID] = c.RFC
		}
	}
}
