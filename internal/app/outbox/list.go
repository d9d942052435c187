package outbox

import (
	"cmp"
	"context"
	"time"

	"postseal/store"
)

// Item is an outgoing report as commands and pages show it. Its JSON has the schema
// postseal.report-out/1.
type Item struct {
	Schema     string     `json:"schema"`
	Kind       string     `json:"kind"` // aggregate or failure
	Day        string     `json:"day"`
	Domain     string     `json:"domain"`
	ReportID   string     `json:"report_id"`
	File       string     `json:"file"`
	State      string     `json:"state"`
	Why        string     `json:"why"`
	Records    int64      `json:"records"`
	Messages   int64      `json:"messages"`
	LeftOut    int64      `json:"left_out"`
	Size       int64      `json:"size"` // octets of the compressed XML, 0 once it is not kept
	Deliveries []Delivery `json:"deliveries"`
	Files      []string   `json:"files,omitempty"` // of a dry run
	Ref        string     `json:"ref,omitempty"`   // of a failure report: the verdict that it is about
	Type       string     `json:"type,omitempty"`  // of a failure report
}

// Delivery is one destination of an Item.
type Delivery struct {
	URI      string     `json:"uri"`
	Address  string     `json:"address"`
	State    string     `json:"state"`
	Attempts int        `json:"attempts"`
	Reply    string     `json:"reply"`
	NextAt   *time.Time `json:"next_at,omitempty"`
	SentAt   *time.Time `json:"sent_at,omitempty"`
}

// ItemOf returns what is shown of a report.
func ItemOf(r *store.Outgoing, to []store.Delivery) Item {
	x := Item{Schema: "postseal.report-out/1", Kind: KindAggregate, Day: r.Day.String(), Domain: r.Domain, ReportID: r.ID, File: r.File, State: r.State, Why: r.Why, Records: r.Records, Messages: r.Messages,
		LeftOut: r.LeftOut, Size: r.Size, Deliveries: []Delivery{}}
	for i := range to {
		x.Deliveries = append(x.Deliveries, deliveryOf(&to[i]))
	}
	return x
}

func deliveryOf(d *store.Delivery) Delivery {
	y := Delivery{URI: d.URI, Address: d.Address, State: d.State, Attempts: d.Attempts, Reply: d.Reply, SentAt: timeOf(d.SentAt)}
	if d.State == store.DeliveryDue || d.State == store.DeliverySending {
		y.NextAt = timeOf(d.NextAt)
	}
	return y
}

// The kinds of an Item.
const (
	KindAggregate = "aggregate" // RFC 9990
	KindFailure   = "failure"   // RFC 9991: one message and those like it
)

// FailureItem returns what is shown of a failure report to one address. Its messages are those that it
// stands for.
func FailureItem(f *store.FailureReport) Item {
	x := Item{Schema: "postseal.report-out/1", Kind: KindFailure, Day: f.Day.String(), Domain: f.Domain, State: store.ReportDone, Messages: f.Incidents, Ref: f.Ref, Type: f.Type}
	if f.State == store.DeliveryDue || f.State == store.DeliverySending {
		x.State = store.ReportSealed
	}
	d := deliveryOf(&f.Delivery)
	d.URI = f.Asked
	x.Deliveries = []Delivery{d}
	return x
}

// ListFailures gives each failure report that f selects to show, the last first.
func ListFailures(ctx context.Context, db store.Outbox, f store.ReportFilter, show func(Item) error) error {
	list, err := db.Failures(ctx, f)
	if err != nil {
		return err
	}
	for i := range list {
		if err := show(FailureItem(&list[i])); err != nil {
			return err
		}
	}
	return nil
}

func timeOf(millis int64) *time.Time {
	if millis == 0 {
		return nil
	}
	t := store.Time(millis)
	return &t
}

// List gives each report that f selects to show, newest day first.
func List(ctx context.Context, db store.Outbox, f store.ReportFilter, show func(Item) error) error {
	list, err := db.Outgoing(ctx, f)
	if err != nil {
		return err
	}
	for i := range list {
		to, err := db.Deliveries(ctx, list[i].Day, list[i].Domain)
		if err != nil {
			return err
		}
		if err := show(ItemOf(&list[i], to)); err != nil {
			return err
		}
	}
	return nil
}

// Find returns one report with its body.
func Find(ctx context.Context, db store.Outbox, day store.Day, domain string) (x Item, body []byte, ok bool, err error) {
	r, ok, err := db.OutgoingReport(ctx, day, domain)
	if err != nil || !ok {
		return x, nil, ok, err
	}
	to, err := db.Deliveries(ctx, day, domain)
	return ItemOf(&r, to), r.Body, true, err
}

// Block suppresses a target by hand: an address, a host or a policy domain.
func Block(ctx context.Context, db store.Outbox, target, why string, until time.Time) error {
	return db.Suppress(ctx, store.Suppression{Target: target, Until: store.Millis(until), Why: cmp.Or(store.Clean(why), "by hand"), ByHand: true})
}

// Forever is the end of a suppression that is lifted by hand alone.
var Forever = time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)
