package store

import (
	"context"
	"math"
	"slices"
)

// copyInbox copies the reports of others: each with its records, what they say about sources, what the operator said
// about those, and what could not be read. It returns how many reports there are.
func copyInbox(ctx context.Context, from, to Store) (n int, err error) {
	ids, err := inboundIDs(ctx, from)
	if err != nil {
		return 0, err
	}
	for _, id := range ids {
		if err := copyReport(ctx, from, to, id); err != nil {
			return 0, err
		}
	}
	if err := copySources(ctx, from, to); err != nil {
		return 0, err
	}
	if err := copyChoices(ctx, from, to); err != nil {
		return 0, err
	}
	return len(ids), copyProblems(ctx, from, to)
}

// inboundIDs are the numbers of all reports, the first that was read first.
func inboundIDs(ctx context.Context, from Store) (ids []int64, err error) {
	for before := int64(0); ; before = ids[len(ids)-1] {
		list, err := from.InboundReports(ctx, InboundFilter{Before: before, Limit: copyRows})
		if err != nil {
			return nil, err
		}
		for i := range list {
			ids = append(ids, list[i].ID)
		}
		if len(list) < copyRows {
			slices.Reverse(ids)
			return ids, nil
		}
	}
}

// copyReport copies one report, unless the other database has it.
func copyReport(ctx context.Context, from, to Store, id int64) error {
	r, ok, err := from.InboundReport(ctx, id)
	if err != nil || !ok {
		return err
	}
	copied, err := to.BeginInbound(ctx, r.ReadAt)
	if err != nil {
		return err
	}
	var rows []InboundRow
	add := func() error {
		err := to.AddInboundRows(ctx, copied, rows)
		rows = rows[:0]
		return err
	}
	err = from.InboundRows(ctx, id, 0, 0, func(row *InboundRow) error {
		if rows = append(rows, *row); len(rows) == copyRows {
			return add()
		}
		return nil
	})
	if err == nil {
		err = add()
	}
	if err == nil {
		_, err = to.EndInbound(ctx, copied, r, nil)
	}
	return err
}

// copySources copies what reports say about sources: reports of the same day add up to one row, and a database keeps
// them for longer than the records of reports.
func copySources(ctx context.Context, from, to Store) error {
	domains, err := from.InboundDomains(ctx)
	if err != nil {
		return err
	}
	for _, name := range domains {
		list, err := from.Sources(ctx, name, math.MinInt32, math.MaxInt32)
		if err != nil {
			return err
		}
		own := slices.DeleteFunc(list, func(s Source) bool { return s.Domain != name }) // the names below it come by themselves
		for part := range slices.Chunk(own, copyRows) {
			if err := to.ImportSources(ctx, part); err != nil {
				return err
			}
		}
	}
	return nil
}

// copyChoices copies what the operator said about sources.
func copyChoices(ctx context.Context, from, to Store) error {
	choices, err := from.SourceChoices(ctx)
	for _, c := range choices {
		if err := to.ChooseSource(ctx, c); err != nil {
			return err
		}
	}
	return err
}

// copyProblems copies which reports could not be read, and those that came twice. They have no identity of their own:
// what the other database has is not added again.
func copyProblems(ctx context.Context, from, to Store) error {
	list, err := from.InboundProblems(ctx)
	if err != nil {
		return err
	}
	there, err := to.InboundProblems(ctx)
	if err != nil {
		return err
	}
	known := map[InboundProblem]int{}
	for _, p := range there {
		known[p]++
	}
	var fresh []InboundProblem
	for _, p := range slices.Backward(list) { // the oldest first
		if known[p]--; known[p] < 0 {
			fresh = append(fresh, p)
		}
	}
	return to.NoteProblems(ctx, fresh)
}
