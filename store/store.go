package store

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// Store is a database of verdicts. It is safe for concurrent use. A reading method ends with
// its context.
type Store interface {
	Reader
	Outbox
	Inbox
	// Claim leases a slot for n, identified by its instance, and returns the node as the
	// database has it, with the position up to which its journal is shipped. Unless n.At is the
	// zero Position, that becomes the position in the same transaction.
	Claim(ctx context.Context, n Node) (Node, error)
	// Ship writes a batch and moves the node's position from from to to, in one transaction.
	// The error is ErrPosition when the database is at another position or another process
	// claimed the node, in which case nothing was written; a *RefusedError when the database
	// is well and does not take what the batch holds; else the outcome is not known.
	Ship(ctx context.Context, n Node, from, to Position, b *Batch) (Shipped, error)
	// Import writes rows that no journal holds as they are, but for ID, which the database gives,
	// and skips those that it already has: the same reference at the same time.
	Import(ctx context.Context, rows []Row, b *Batch) (added int, err error)
	// MakeAhead makes what rows of today and more days will need, where that takes rights or time, and removes
	// what it made for days that are over and got no row. Rows of other days are stored all the same.
	MakeAhead(ctx context.Context, today Day, more int) error
	// Tends reports whether this user of the database may make and remove days.
	Tends(ctx context.Context) (bool, error)
	// Drop removes a whole day.
	Drop(ctx context.Context, d Day) error
	// Forget removes all rows and facts of a domain, or of a network.
	Forget(ctx context.Context, f Forgotten) (rows int64, err error)
	// Mask reduces the addresses of a day: "net" keeps the /24 or /48, "none" keeps nothing.
	Mask(ctx context.Context, d Day, keep string) error
	// Trim removes facts that were last seen before a time, and the oldest beyond most of
	// each kind.
	Trim(ctx context.Context, before int64, most int) error
	// SetSweptAt notes when the database was swept, in milliseconds since 1970.
	SetSweptAt(ctx context.Context, at int64) error
	// Backup writes a copy to a file that must not exist. The error is errors.ErrUnsupported
	// for a database that its operator backs up.
	Backup(ctx context.Context, path string) error
	Close() error
}

// Reader is what a search needs of a database.
type Reader interface {
	Info(ctx context.Context) (Info, error)
	// Size returns the octets in use, without what the next rows will use again.
	Size(ctx context.Context) (int64, error)
	// SweptAt returns when the database was last swept, in milliseconds since 1970; 0: never.
	SweptAt(ctx context.Context) (int64, error)
	// Days lists the days that hold rows, newest first.
	Days(ctx context.Context) ([]Day, error)
	// Page returns the rows of one day that the search finds, newest first, with ids below
	// before (0: no bound), at most limit. Unless after is 0, ids are above it and the oldest
	// come first.
	Page(ctx context.Context, d Day, q *Query, p Cursor) ([]Row, error)
	// Count counts what the search finds on one day, up to most.
	Count(ctx context.Context, d Day, q *Query, most int) (int, error)
	// Hours counts what the search finds on one day by hour and applied action.
	Hours(ctx context.Context, d Day, q *Query) ([]Hour, error)
	// Top counts what the search finds on one day by the values of a field, the most first.
	Top(ctx context.Context, d Day, q *Query, f Field, limit int) ([]Group, error)
	Nodes(ctx context.Context) ([]Node, error)
	Losses(ctx context.Context) ([]Loss, error)
	// Policies, Selectors and Records return what was learned of a domain and the names
	// below it, newest first. For Policies and Selectors, "" is every domain.
	Policies(ctx context.Context, domain string, limit int) ([]Policy, error)
	Selectors(ctx context.Context, domain string, limit int) ([]Selector, error)
	Records(ctx context.Context, domain string, limit int) ([]Record, error)
	// Recent returns the records that were last seen since a time, newest first.
	Recent(ctx context.Context, since int64, limit int) ([]Record, error)
	// Check reads everything once and returns what is wrong.
	Check(ctx context.Context) ([]string, error)
}

// Cursor is the part of a day that a page shows.
type Cursor struct {
	Before int64
	After  int64
	Limit  int
}

// Info describes a database.
type Info struct {
	Engine string `json:"engine"` // "sqlite 3.51.0", "postgres 15.18"
	Store  string `json:"store"`  // the UUID of this database
	Schema int64  `json:"schema"` // the number of its last migration
	Rows   int64  `json:"rows"`   // an estimate where counting is slow
	Bytes  int64  `json:"bytes"`
	Clock  int64  `json:"-"` // the clock of the database, in milliseconds since 1970; 0: the same host
}

// DaysAhead is for how many days after the present one a sweep calls MakeAhead.
const DaysAhead = 3

// Position is a place in the journal of a node.
type Position struct {
	Segment int64 `json:"segment"`
	Offset  int64 `json:"offset"`
}

// Node is a process that records verdicts.
type Node struct {
	Slot     int      `json:"slot"`
	Instance string   `json:"instance"` // 32 hexadecimal digits, kept in the state directory
	Boot     string   `json:"-"`        // of this start
	Name     string   `json:"name"`
	Version  string   `json:"version"`
	At       Position `json:"position"`
	Shipped  int64    `json:"shipped_until"` // milliseconds since 1970
	Seen     int64    `json:"seen_at"`
	Lost     int64    `json:"lost"`
}

// Shipped says what became of a batch.
type Shipped struct {
	Rows int
	Late int // of days that are closed
}

// Hour counts the verdicts of an hour by applied action.
type Hour struct {
	Start int64 // milliseconds since 1970
	Count [4]int
}

// HourActions are the actions that Hour counts, in its order.
var HourActions = [4]string{"accept", "quarantine", "reject", "defer"}

// Group is a value with the number of verdicts that have it.
type Group struct {
	Value string
	Count int
}

// Forgotten names what is to be removed: a domain with all names below it, or a network.
type Forgotten struct {
	Domain string
	Net    netip.Prefix
}

// ErrPosition reports that the database is at another position of the journal, or that
// another process claimed the node.
var ErrPosition = errors.New("the database is at another position of the journal")

// SlotSilence is how long a node may be silent before another one may take its slot.
const SlotSilence = 7 * 24 * time.Hour

// ErrSlots reports that all slots of nodes are taken.
var ErrSlots = fmt.Errorf("all %d slots of nodes are taken by nodes that were seen within %v", MaxSlot, SlotSilence)

// ErrSchema reports a database of another major version.
var ErrSchema = errors.New("the database has a schema that this version does not know")

// RefusedError reports that the database is well, and does not take what a batch holds.
type RefusedError struct{ Err error }

// Error implements error.
func (e *RefusedError) Error() string { return fmt.Sprintf("the database refuses the row: %v", e.Err) }

// Unwrap returns the error of the database.
func (e *RefusedError) Unwrap() error { return e.Err }

// ErrField reports a field that cannot be counted by.
var ErrField = errors.New("the search cannot be counted by this field")
