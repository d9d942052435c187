// Package storetest is the one conformance suite of databases: each engine passes the same
// cases.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"

	"postseal"
	"postseal/store"
)

// Now is the clock of the cases.
var Now = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

// Key is that of the Message-IDs of the cases.
var Key = store.MessageIDKey("a key of the cases")

// Run runs every case against a database that open makes again for each of them.
func Run(t *testing.T, open func(t *testing.T) store.Store) {
	for _, c := range []struct {
		name string
		run  func(*testing.T, store.Store)
	}{
		{"Position", position}, {"Slots", slots}, {"Search", search}, {"MessageIDs", messageIDs}, {"Cursor", cursor}, {"Figures", figures}, {"Texts", texts}, {"OneMillisecond", oneMillisecond},
		{"Facts", facts}, {"Losses", losses}, {"Import", importTwice}, {"ImportSecond", importSecond}, {"ImportShared", importShared}, {"ImportFar", importFar}, {"Drop", drop}, {"Forget", forget}, {"Mask", mask}, {"Trim", trim}, {"Sweep", sweep}, {"Check", check}, {"Info", info}, {"Outbox", outbox}, {"Inbox", inbox}, {"FirstDays", firstDays}, {"PolicyDays", policyDays}, {"ForgetReports", forgetReports},
	} {
		t.Run(c.name, func(t *testing.T) {
			db := open(t)
			defer func() {
				if err := db.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
			}()
			c.run(t, db)
		})
	}
}

// Claim claims a node for a test.
func Claim(t testing.TB, db store.Store, instance, boot string) store.Node {
	t.Helper()
	n, err := db.Claim(t.Context(), store.Node{Instance: instance, Boot: boot, Name: "mx1", Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Ship writes rows as the next batch of a node.
func Ship(t testing.TB, db store.Store, n *store.Node, b *store.Batch) {
	t.Helper()
	to := store.Position{Segment: n.At.Segment, Offset: n.At.Offset + 1}
	if _, err := db.Ship(t.Context(), *n, n.At, to, b); err != nil {
		t.Fatal(err)
	}
	n.At = to
}

func fill(t *testing.T, db store.Store, rows []store.Row) {
	t.Helper()
	n := Claim(t, db, "i", "b")
	Ship(t, db, &n, &store.Batch{Rows: slices.Clone(rows)})
}

// All returns every row of a database, newest first.
func All(t *testing.T, db store.Reader) []store.Row {
	t.Helper()
	return find(t, db, "")
}

func find(t *testing.T, db store.Reader, text string) []store.Row {
	t.Helper()
	q, err := store.ParseQuery(text, Now, Key)
	if err != nil {
		t.Fatal(err)
	}
	days, err := db.Days(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var all []store.Row
	for _, d := range days {
		rows, err := db.Page(t.Context(), d, q, store.Cursor{Limit: 1 << 20})
		if err != nil {
			t.Fatalf("%s on %s: %v", text, d, err)
		}
		all = append(all, rows...)
	}
	return all
}

// Rows makes n rows of the last days, the same for the same seed.
func Rows(n int, days int, seed uint64) []store.Row {
	r := rand.New(rand.NewPCG(seed, 1))
	pick := func(list ...string) string { return list[r.IntN(len(list))] }
	rows := make([]store.Row, n)
	for i := range rows {
		at := Now.Add(-time.Duration(r.Int64N(int64(days) * int64(24*time.Hour))))
		action := pick("accept", "accept", "accept", "quarantine", "reject", "defer")
		applied := action
		if action != "accept" && r.IntN(3) == 0 {
			applied = pick("accept", "quarantine")
		}
		author := fmt.Sprintf("a%d.test", r.IntN(20))
		rows[i] = store.Row{Millis: store.Millis(at), Ref: store.RefText(r.Int64N(1 << 40)), QID: fmt.Sprintf("4Q%08d", i), Door: pick("milter", "smtp", "http"),
			Action: action, Applied: applied, Enforce: "guarded", Reason: pick("dmarc.pass", "dmarc.reject", "dmarc.none"), Author: author,
			MFrom: pick(author, "<>", "lists.example.net", "bounce."+author), Helo: pick("mx."+author, "Host_7"), List: pick("", "", "lists.example.net"),
			IP: address(r), SPF: pick("pass", "fail", "none", "softfail"), SPFDomain: author,
			DKIM: pick("none", "pass:"+author+"/k1", "fail:"+author+"/k1(BodyHashMismatch),pass:lists.example.net/s2"), DMARC: pick("pass", "fail", "none"),
			Aligned: pick("spf", "dkim", "both", "none"), P: pick("", "none", "quarantine", "reject"), PolicyDom: author, ARC: pick("none", "pass", "fail"),
			IPRev: pick("pass", "fail"), Why: pick("", "guarded: indirect flow", "100% sure"), DNS: r.IntN(20), Bytes: r.Int64N(1 << 20), Took: r.IntN(500)}
		if r.IntN(2) == 0 {
			rows[i].PolicyHash = store.Hash{1, byte(i)}
		}
	}
	return rows
}

func address(r *rand.Rand) netip.Addr {
	switch r.IntN(4) {
	case 0:
		return netip.Addr{}
	case 1:
		return netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, byte(r.IntN(3)), 15: byte(r.IntN(5))})
	}
	return netip.AddrFrom4([4]byte{192, 0, byte(r.IntN(3)), byte(r.IntN(5))})
}

// position: a batch and its position are written together or not at all.
func position(t *testing.T, db store.Store) {
	ctx := t.Context()
	n := Claim(t, db, "one", "boot1")
	if n.At != (store.Position{}) {
		t.Errorf("a new node begins at %v", n.At)
	}
	rows := Rows(3, 1, 1)
	to := store.Position{Segment: 7, Offset: 100}
	if _, err := db.Ship(ctx, n, n.At, to, &store.Batch{Rows: rows[:1]}); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Ship(ctx, n, n.At, to, &store.Batch{Rows: rows[1:2]}); !errors.Is(err, store.ErrPosition) {
		t.Errorf("the same position again: %v", err)
	}
	again := Claim(t, db, "one", "boot2")
	if again.At != to || again.Slot != n.Slot {
		t.Errorf("claimed again: %+v, want position %v and slot %d", again, to, n.Slot)
	}
	if _, err := db.Ship(ctx, n, to, store.Position{Segment: 8}, &store.Batch{Rows: rows[1:2]}); !errors.Is(err, store.ErrPosition) {
		t.Errorf("by the process that lost the node: %v", err)
	}
	moved := store.Position{Segment: 9, Offset: 9}
	for _, instance := range []string{"three", "one"} { // a new node, and one that is known
		if n, err := db.Claim(ctx, store.Node{Instance: instance, Boot: "boot3", Name: "mx1", At: moved}); err != nil || n.At != moved {
			t.Errorf("%s claimed at a position: %+v, %v", instance, n, err)
		}
	}
	if n, err := db.Claim(ctx, store.Node{Instance: "one", Boot: "boot2", Name: "mx1", At: to}); err != nil || n.At != to {
		t.Errorf("%+v, %v", n, err)
	}
	other := Claim(t, db, "two", "boot1")
	if other.Slot == n.Slot {
		t.Errorf("two nodes have slot %d", n.Slot)
	}
	if _, err := db.Ship(ctx, again, to, store.Position{Segment: 8}, &store.Batch{Rows: rows[2:]}); err != nil {
		t.Error(err)
	}
	if got := len(All(t, db)); got != 2 {
		t.Errorf("%d rows, want 2", got)
	}
	nodes, err := db.Nodes(ctx)
	if err != nil || len(nodes) != 3 || nodes[0].Name != "mx1" {
		t.Errorf("%+v, %v", nodes, err)
	}
}

// slots: each node has one of its own; when all are taken, that of a node which was silent for a
// week is given away.
func slots(t *testing.T, db store.Store) {
	taken := map[int]string{}
	for i := range store.MaxSlot {
		n := Claim(t, db, fmt.Sprintf("node%d", i), "b")
		if n.Slot < 1 || n.Slot > store.MaxSlot || taken[n.Slot] != "" {
			t.Fatalf("node %d has slot %d, as %q", i, n.Slot, taken[n.Slot])
		}
		taken[n.Slot] = n.Instance
		n.Seen = store.Millis(time.Now())
		if i == 77 {
			n.Seen -= (store.SlotSilence + time.Hour).Milliseconds()
		}
		Ship(t, db, &n, &store.Batch{})
	}
	late := Claim(t, db, "late", "b")
	if taken[late.Slot] != "node77" || late.At != (store.Position{}) {
		t.Errorf("the new node has slot %d, of %s, and position %v", late.Slot, taken[late.Slot], late.At)
	}
	if _, err := db.Claim(t.Context(), store.Node{Instance: "later", Boot: "b"}); !errors.Is(err, store.ErrSlots) {
		t.Errorf("without a free slot: %v", err)
	}
}

// searches are those that each engine answers as Match does.
var searches = []string{"", "author:a1.test", "author:A1.TEST", "author:*.test", "-author:a1.test", "mailfrom:<>", "mailfrom:lists.example.net", "mailfrom:*.test", "a1.test", "helo:host_7", "helo:*.a1.test",
	"helo:hostx7", "ip:192.0.0.0/24", "-ip:192.0.0.0/24", "ip:192.0.1.3", "-ip:192.0.1.3", "ip:2001:db8::/32", "ip:2001:db8:1::/48", "ip:0.0.0.0/0", "ip:::/0", "action:reject", "-action:reject", "action:accept",
	"action:reject,defer", "applied:accept", "applied:reject", "applied:reject,quarantine", "-applied:reject,quarantine", "applied:accept,reject", "reason:dmarc.reject", "spf:pass,softfail", "dkim:none", "dkim:pass", "dkim:fail -dkim:pass",
	"dkim:lists.example.net", "dkim:a1.test", "dmarc:fail policy:reject", "arc:pass", "list:lists.example.net", "list:*.example.net", "qid:4Q00000007", "4Q00000007", "qid:4q00000007", "door:milter", "rule:indirect", "rule:INDIRECT", "rule:100%", "rule:1%s",
	"since:1d", "since:2026-11-29 until:2026-11-29", "until:2026-11-28", "since:2h author:a2.test", "author:a1.test,a2.test,a3.test -spf:pass ip:192.0.0.0/16"}

// search: the database finds what Match says.
func search(t *testing.T, db store.Store) {
	rows := Rows(400, 3, 2)
	fill(t, db, rows)
	texts := append(slices.Clone(searches), "ref:"+rows[5].Ref, rows[9].Ref[:4]+"-"+rows[9].Ref[4:])
	for _, text := range texts {
		q, err := store.ParseQuery(text, Now, Key)
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]bool{}
		for i := range rows {
			if q.Match(&rows[i]) {
				want[rows[i].QID] = true
			}
		}
		got := find(t, db, text)
		for _, r := range got {
			if !want[r.QID] {
				t.Errorf("%q finds %+v", text, r)
				break
			}
		}
		if len(got) != len(want) {
			t.Errorf("%q finds %d rows, want %d", text, len(got), len(want))
		}
		if !slices.IsSortedFunc(got, func(a, b store.Row) int { return int(max(-1, min(1, b.ID-a.ID))) }) {
			t.Errorf("%q: not newest first", text)
		}
	}
}

// cursor: pages of any size show each row once, in both directions.
func cursor(t *testing.T, db store.Store) {
	fill(t, db, Rows(100, 1, 3))
	q := &store.Query{}
	days, err := db.Days(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := All(t, db)
	for _, size := range []int{1, 7, 100, 1000} {
		for _, forward := range []bool{false, true} {
			var got []store.Row
			for _, d := range days {
				for p := (store.Cursor{Limit: size}); ; {
					if forward && p.After == 0 {
						p.After = store.FirstID(d.Start())
					}
					rows, err := db.Page(t.Context(), d, q, p)
					if err != nil {
						t.Fatal(err)
					}
					if len(rows) == 0 {
						break
					}
					if p.Before = rows[len(rows)-1].ID; forward {
						p.After, p.Before = p.Before, 0
					}
					got = append(got, rows...)
				}
			}
			slices.SortFunc(got, func(a, b store.Row) int { return int(max(-1, min(1, b.ID-a.ID))) })
			if !reflect.DeepEqual(got, want) {
				t.Errorf("pages of %d, forward %v: %d rows, want %d", size, forward, len(got), len(want))
			}
		}
	}
}

// figures: counts, hours and top lists are those of the rows.
func figures(t *testing.T, db store.Store) {
	rows := Rows(300, 2, 4)
	fill(t, db, rows)
	ctx := t.Context()
	days, _ := db.Days(ctx)
	for _, text := range []string{"", "action:reject", "author:a1.test", "since:5h"} {
		q, _ := store.ParseQuery(text, Now, Key)
		count, hours, tops := map[store.Day]int{}, map[int64]*store.Hour{}, map[store.Day]map[string]int{}
		for i := range rows {
			if r := &rows[i]; q.Match(r) {
				d, hour := store.DayOf(r.Millis), r.Millis/3600000*3600000
				count[d]++
				if hours[hour] == nil {
					hours[hour] = &store.Hour{Start: hour}
				}
				hours[hour].Count[slices.Index(store.HourActions[:], r.Applied)]++
				if tops[d] == nil {
					tops[d] = map[string]int{}
				}
				tops[d][r.Author]++
			}
		}
		for _, d := range days {
			if n, err := db.Count(ctx, d, q, 1000); err != nil || n != count[d] {
				t.Errorf("%q: Count = %d, %v, want %d", text, n, err, count[d])
			}
			if n, err := db.Count(ctx, d, q, 3); err != nil || n != min(3, count[d]) {
				t.Errorf("%q: Count to 3 = %d, %v", text, n, err)
			}
			list, err := db.Hours(ctx, d, q)
			if err != nil {
				t.Error(err)
			}
			for _, h := range list {
				if hours[h.Start] == nil || *hours[h.Start] != h {
					t.Errorf("%q: %+v, want %+v", text, h, hours[h.Start])
				}
				delete(hours, h.Start)
			}
			groups, err := db.Top(ctx, d, q, store.FieldAuthor, 5)
			if err != nil {
				t.Error(err)
			}
			for _, g := range groups {
				if tops[d][g.Value] != g.Count {
					t.Errorf("%q: %+v, want %d", text, g, tops[d][g.Value])
				}
			}
			if len(groups) != min(5, len(tops[d])) {
				t.Errorf("%q: %d groups", text, len(groups))
			}
		}
		if len(hours) > 0 {
			t.Errorf("%q: %d hours are missing", text, len(hours))
		}
	}
	if _, err := db.Top(ctx, days[0], &store.Query{}, store.FieldIP, 5); !errors.Is(err, store.ErrField) {
		t.Errorf("Top by ip: %v", err)
	}
}

// texts: what the encoder accepts comes back octet for octet.
func texts(t *testing.T, db store.Store) {
	row := Rows(1, 1, 5)[0]
	hostile := store.Clean("' OR 1=1; DROP TABLE verdict; --\" \x00\r\n\t\\ % _ <script> \u202e \U0001F600 \xff")
	row.Helo, row.Why, row.Author, row.Authors = hostile, hostile, store.Domain("bücher.example"), "a.test,b.test"
	row.IP = netip.MustParseAddr("2001:db8::25")
	row.Stale, row.DNS, row.Bytes, row.Took, row.Cause = 3, 300, 1<<40, 1<<31-1, 2
	fill(t, db, []store.Row{row})
	got := All(t, db)
	if len(got) != 1 {
		t.Fatalf("%d rows", len(got))
	}
	row.ID, row.Node = got[0].ID, got[0].Node
	if !reflect.DeepEqual(got[0], row) {
		t.Errorf("got  %+v\nwant %+v", got[0], row)
	}
}

// oneMillisecond: rows of one time all have their own id, also when the clock steps back.
func oneMillisecond(t *testing.T, db store.Store) {
	rows := Rows(600, 1, 6)
	for i := range rows {
		rows[i].Millis = store.Millis(Now)
	}
	fill(t, db, rows)
	n := Claim(t, db, "i", "b2")
	Ship(t, db, &n, &store.Batch{Rows: slices.Clone(rows)})
	ids := map[int64]bool{}
	for _, r := range All(t, db) {
		ids[r.ID] = true
		if r.Millis != store.Millis(Now) {
			t.Fatalf("a row has time %d", r.Millis)
		}
	}
	if len(ids) != 1200 {
		t.Errorf("%d ids, want 1200", len(ids))
	}
}

func importTwice(t *testing.T, db store.Store) {
	rows := Rows(50, 5, 7)
	for i, want := range []int{50, 0} {
		if n, err := db.Import(t.Context(), slices.Clone(rows), &store.Batch{}); err != nil || n != want {
			t.Errorf("import %d: %d rows, %v, want %d", i+1, n, err, want)
		}
	}
	if got := len(All(t, db)); got != 50 {
		t.Errorf("%d rows, want 50", got)
	}
}

// importSecond imports more rows of one time than a millisecond has ids, twice: archives give whole seconds.
func importSecond(t *testing.T, db store.Store) {
	rows := Rows(store.MaxSeq+1000, 1, 9)
	for i := range rows {
		rows[i].Millis, rows[i].Ref = store.Millis(Now), store.RefText(int64(i))
	}
	for i, want := range []int{len(rows), 0} {
		added := 0
		for part := range slices.Chunk(rows, 1000) {
			n, err := db.Import(t.Context(), slices.Clone(part), &store.Batch{})
			if err != nil {
				t.Fatal(err)
			}
			added += n
		}
		if added != want {
			t.Errorf("import %d: %d rows, want %d", i+1, added, want)
		}
	}
	ids := map[int64]bool{}
	for _, r := range All(t, db) {
		if ids[r.ID] = true; r.Millis < store.Millis(Now) || r.Millis > store.Millis(Now)+1 {
			t.Fatalf("a row has time %d, want at most a millisecond after %d", r.Millis, store.Millis(Now))
		}
	}
	if len(ids) != len(rows) {
		t.Errorf("%d ids, want %d", len(ids), len(rows))
	}
}

// importShared imports rows with the times and the node of others that are there, and some among themselves: each gets an id of its own.
func importShared(t *testing.T, db store.Store) {
	rows := Rows(900, 1, 10)
	for i := range rows {
		rows[i].Millis, rows[i].Ref, rows[i].Node = store.Millis(Now)+int64(i%300), store.RefText(int64(i)), i%2
	}
	for _, part := range [][]store.Row{rows[:500], rows[:700], rows[600:]} {
		if _, err := db.Import(t.Context(), slices.Clone(part), &store.Batch{}); err != nil {
			t.Fatal(err)
		}
	}
	ids := map[int64]bool{}
	for _, r := range All(t, db) {
		n, _ := store.RefNumber(r.Ref)
		if ids[r.ID] = true; r.Millis != rows[n].Millis || r.Node != rows[n].Node {
			t.Fatalf("row %d has time %d and node %d, want %d and %d", n, r.Millis, r.Node, rows[n].Millis, rows[n].Node)
		}
	}
	if len(ids) != len(rows) {
		t.Errorf("%d ids, want %d", len(ids), len(rows))
	}
}

// importFar imports mail of times that no clock has: a Received field can say any.
func importFar(t *testing.T, db store.Store) {
	years := []int{1, 1969, 2109, 2110, 9999}
	var rows []store.Row
	for _, year := range years {
		v := store.Verdict{Report: &postseal.Report{Ref: store.RefText(int64(year))}, Listener: store.DoorReplay, At: time.Date(year, 12, 31, 23, 59, 59, 999e6, time.UTC)}
		rows = append(rows, store.FromReport(v))
	}
	for _, want := range []int{len(years), 0} {
		if n, err := db.Import(t.Context(), slices.Clone(rows), &store.Batch{}); n != want || err != nil {
			t.Errorf("%d rows, %v, want %d", n, err, want)
		}
	}
	if n := len(All(t, db)); n != len(years) {
		t.Errorf("%d rows are found, want %d", n, len(years))
	}
}

func check(t *testing.T, db store.Store) {
	fill(t, db, Rows(50, 2, 8))
	if problems, err := db.Check(t.Context()); err != nil || len(problems) > 0 {
		t.Errorf("%q, %v", problems, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := db.Days(ctx); err == nil {
		t.Error("a context that ended is not noticed")
	}
}

func info(t *testing.T, db store.Store) {
	fill(t, db, Rows(50, 2, 8))
	i, err := db.Info(t.Context())
	if err != nil || i.Engine == "" || len(i.Store) != 32 || i.Schema < 1 || i.Rows != 50 || i.Bytes <= 0 {
		t.Errorf("%+v, %v", i, err)
	}
}
