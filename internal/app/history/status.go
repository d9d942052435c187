package history

import (
	"context"
	"errors"
	"time"

	"postseal/store"
)

// StatusSchema identifies the JSON format of a Status. New fields may be added.
const StatusSchema = "postseal.store/1"

// Status is the state of a store.
type Status struct {
	Schema1  string `json:"schema"`
	Engine   string `json:"engine"`
	Store    string `json:"store"` // the UUID of the database
	Schema   int64  `json:"database_schema"`
	Verdicts int64  `json:"verdicts"`
	Days     int    `json:"days"`
	Oldest   string `json:"oldest"` // a day, "" without any
	Newest   string `json:"newest"`
	Bytes    int64  `json:"bytes"`
	Nodes    []Node `json:"nodes"`
	Lost     []Lost `json:"lost"`
	// Clock says why the clock may be wrong; nothing is removed because of its age then.
	Clock string `json:"clock,omitempty"`
}

// Node is a process that records verdicts.
type Node struct {
	Slot         int       `json:"slot"`
	Name         string    `json:"name"`
	Version      string    `json:"version"`
	ShippedUntil time.Time `json:"shipped_until"`
	Age          float64   `json:"age_seconds"` // since the database last heard from it
	Lag          float64   `json:"lag_seconds"` // since the time up to which its verdicts are stored
	Behind       bool      `json:"behind"`
	Lost         int64     `json:"lost"`
	// Skew is by how much its clock is ahead of that of the database; nil where that is not known.
	Skew *float64 `json:"skew_seconds,omitempty"`
}

// behind is how old the state of a node may be: nodes report every 10 s.
const behind = time.Minute

// StatusOf returns the state of a store.
func StatusOf(ctx context.Context, r store.Reader, now time.Time) (*Status, error) {
	i, err := r.Info(ctx)
	if err != nil {
		return nil, err
	}
	s := &Status{Schema1: StatusSchema, Engine: i.Engine, Store: i.Store, Schema: i.Schema, Verdicts: i.Rows, Bytes: i.Bytes, Lost: []Lost{}}
	days, err := r.Days(ctx)
	if err != nil {
		return nil, err
	}
	if s.Days = len(days); s.Days > 0 {
		s.Newest, s.Oldest = days[0].String(), days[len(days)-1].String()
	}
	if s.Nodes, err = NodesOf(ctx, r, now); err != nil {
		return nil, err
	}
	var doubt *store.ClockError
	if err := store.CheckClock(ctx, r, now); errors.As(err, &doubt) {
		s.Clock = doubt.Error()
	} else if err != nil {
		return nil, err
	}
	losses, err := r.Losses(ctx)
	for _, l := range losses {
		s.Lost = append(s.Lost, FromLoss(l))
	}
	return s, err
}

// NodesOf returns the daemons that write to a database.
func NodesOf(ctx context.Context, r store.Reader, now time.Time) ([]Node, error) {
	nodes, err := r.Nodes(ctx)
	list := make([]Node, 0, len(nodes))
	for _, n := range nodes {
		age, lag := now.Sub(store.Time(n.Seen)), now.Sub(store.Time(n.Shipped))
		list = append(list, Node{Slot: n.Slot, Name: n.Name, Version: n.Version, ShippedUntil: store.Time(n.Shipped), Age: age.Seconds(), Lag: lag.Seconds(),
			Behind: max(age, lag) > behind, Lost: n.Lost})
	}
	return list, err
}
