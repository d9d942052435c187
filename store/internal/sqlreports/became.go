package sqlreports

import (
	"context"
	"database/sql"
	"slices"
	"strings"

	"postseal/store"
)

// aggregate is the condition for a delivery of an aggregate report.
const aggregate = "uri NOT LIKE 'failure:%'"

// became is the condition for what became of a report, of those since day $3. Most reports are sent, so those are
// looked up one by one until there are enough; few fail or are suppressed, so those are listed.
func became(state string) string {
	listed := func(states string) string {
		return "(day, domain) IN (SELECT x.day, x.domain FROM {delivery} x WHERE x.state IN (" + states + ") AND x.day >= $3 AND x." + aggregate + ")"
	}
	switch state {
	case "":
		return "1 = 1"
	case store.OutWaiting:
		return "state IN ('built', 'sealed')"
	case store.OutSent:
		return "EXISTS (SELECT 1 FROM {delivery} x WHERE x.day = {report}.day AND x.domain = {report}.domain AND x.state = 'sent' AND x." + aggregate + ")"
	case store.OutFailed:
		return listed("'failed', 'expired'")
	case store.OutSuppressed:
		return listed("'refused'")
	case store.ReportBuilt, store.ReportSealed, store.ReportDone, store.ReportNone:
		return "state = '" + state + "'"
	}
	return "1 = 0"
}

// The states of deliveries: an index begins with the state.
var (
	open   = []string{store.DeliveryDue, store.DeliverySending}
	closed = []string{store.DeliverySent, store.DeliveryFailed, store.DeliveryExpired, store.DeliveryRefused}
)

func inStates(states []string) string { return "state IN ('" + strings.Join(states, "', '") + "')" }

// countTexts count what became of reports since day $1, each in an index: by state, and when the next one is due.
var countTexts = []string{
	"SELECT state, count(*), 0 FROM {report} WHERE state IN ('built', 'none') AND day >= $1 GROUP BY state",
	"SELECT state, count(*), 0 FROM {delivery} WHERE " + inStates(slices.Concat(open, closed)) + " AND day >= $1 AND " + aggregate + " GROUP BY state",
	"SELECT '', 0, coalesce(min(next_at), 0) FROM {report} WHERE state = 'built' AND day >= $1",
	"SELECT '', 0, coalesce(min(next_at), 0) FROM {delivery} WHERE " + inStates(open) + " AND day >= $1 AND " + aggregate,
}

// OutgoingCounts implements store.Outbox.
func (d *DB) OutgoingCounts(ctx context.Context, since store.Day) (n store.OutgoingCounts, err error) {
	for _, text := range countTexts {
		if err = d.query(ctx, countInto(&n), text, int64(since)); err != nil {
			return n, err
		}
	}
	return n, nil
}

// FailureCounts implements store.Outbox.
func (d *DB) FailureCounts(ctx context.Context, since store.Day) (n store.OutgoingCounts, err error) {
	err = d.query(ctx, countInto(&n), `SELECT x.state, count(*), min(CASE WHEN x.`+inStates(open)+` THEN x.next_at ELSE 0 END)
		FROM {failure_report} f JOIN {delivery} x ON x.token = f.token WHERE f.made_at >= $1 GROUP BY x.state`, since.Start())
	return n, err
}

// countInto adds the number of reports or deliveries of a state to n, and notes the first time that is not 0.
func countInto(n *store.OutgoingCounts) func(*sql.Rows) error {
	return func(rows *sql.Rows) error {
		var state string
		var k, at int64
		if err := rows.Scan(&state, &k, &at); err != nil {
			return err
		}
		if at != 0 && (n.NextAt == 0 || at < n.NextAt) {
			n.NextAt = at
		}
		switch state {
		case store.ReportBuilt, store.DeliveryDue, store.DeliverySending:
			n.Waiting += k
		case store.ReportNone:
			n.NotSent += k
		case store.DeliverySent:
			n.Sent += k
		case store.DeliveryFailed, store.DeliveryExpired:
			n.Failed += k
		case store.DeliveryRefused:
			n.Suppressed += k
		}
		return nil
	}
}

// failureBecame is the condition for what became of a failure report: each has one delivery.
func failureBecame(state string) string {
	switch state {
	case "":
		return "1 = 1"
	case store.OutWaiting, store.ReportSealed:
		return "x." + inStates(open)
	case store.ReportDone:
		return "x." + inStates(closed)
	case store.OutSent:
		return "x.state = 'sent'"
	case store.OutFailed:
		return "x.state IN ('failed', 'expired')"
	case store.OutSuppressed:
		return "x.state = 'refused'"
	}
	return "1 = 0"
}
