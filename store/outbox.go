package store

import "context"

// The states of a day.
const (
	DayOpen   = "open"
	DayClosed = "closed" // its rows are those of the reports; later ones are Late
	DayBuilt  = "built"  // its reports are made
)

// ReportDay is what became of the verdicts of a day.
type ReportDay struct {
	Day       Day    `json:"-"`
	State     string `json:"state"`
	ClosedAt  int64  `json:"-"`
	WaitedFor string `json:"waited_for,omitempty"` // names of nodes that had not shipped all of the day when it was closed
	Verdicts  int64  `json:"verdicts"`             // counted in reports
	Late      int64  `json:"late"`
}

// The states of an outgoing report.
const (
	ReportBuilt  = "built"  // whether it is wanted is asked again before it is sent
	ReportSealed = "sealed" // it has destinations
	ReportDone   = "done"   // each destination has it, or cannot get it
	ReportNone   = "none"   // it is not sent: Why
)

// Outgoing is the report about a policy domain and a day. There is one at most.
type Outgoing struct {
	Day      Day
	Domain   string
	ID       string // Report-ID (RFC 9990 §3.5.1)
	File     string
	Policy   Hash
	State    string
	Why      string // of ReportNone
	Records  int64
	Messages int64
	LeftOut  int64  // messages that are not in it because of its size
	Body     []byte // gzip of the XML; nil where it was not asked for or is not kept any more
	Size     int64  // octets of Body, also where it was not asked for
	BuiltAt  int64  // milliseconds since 1970
	NextAt   int64  // when it is prepared for sending
}

// The states of a delivery.
const (
	DeliveryDue     = "due"
	DeliverySending = "sending"
	DeliverySent    = "sent"
	DeliveryFailed  = "failed"  // refused for good, or returned
	DeliveryExpired = "expired" // not taken within a day
	DeliveryRefused = "refused" // the destination does not agree, or is suppressed
)

// Delivery is the way of a report to one destination of its policy.
type Delivery struct {
	Day      Day
	Domain   string
	URI      string
	Address  string
	State    string
	Attempts int
	FirstAt  int64 // of the first attempt, 0 before it
	NextAt   int64
	Token    string // of the envelope sender, by which bounces are known
	Reply    string
	SentAt   int64
}

// Suppression is a target that gets no reports for a time.
type Suppression struct {
	Target string `json:"target"` // an address, a host or a policy domain
	Until  int64  `json:"-"`      // milliseconds since 1970; 0: not yet, after one failure
	Why    string `json:"why"`
	Hits   int    `json:"failures"` // reports in a row that failed
	ByHand bool   `json:"by_hand"`
}

// Reported counts the messages of a policy on one day.
type Reported struct {
	Domain   string
	Policy   Hash
	Last     int64 // id of the last row
	Messages int64
	Wanted   int64 // that ask for a report and were not rejected
	Rejected int64 // that ask for a report and were
	OK       int64 // accepted, with a pass
}

// ReportRow counts equal verdicts of one day.
type ReportRow struct {
	Row
	N int64
}

// What became of outgoing reports, for the State of a ReportFilter. A report with several destinations can be sent and
// failed.
const (
	OutWaiting    = "waiting"    // built or sealed
	OutSent       = "sent"       // to a destination
	OutFailed     = "failed"     // at a destination: refused for good, returned, or not taken within a day
	OutSuppressed = "suppressed" // not sent to a destination, which is suppressed or does not agree
)

// ReportFilter selects outgoing reports. The zero value selects all.
type ReportFilter struct {
	Day         Day // 0: any
	Since       Day // 0: any
	Domain      string
	State       string // one of a report, or OutWaiting and so on
	AfterDay    Day    // those that follow this day and domain in the list; 0: from its beginning
	AfterDomain string
	Limit       int // 0: 1000
}

// OutgoingCounts counts what became of reports.
type OutgoingCounts struct {
	Waiting    int64 // reports without destinations, and deliveries that are due
	Sent       int64 // deliveries
	Failed     int64 // deliveries
	Suppressed int64 // deliveries
	NotSent    int64 // reports
	NextAt     int64 // when the next of Waiting is due, in milliseconds since 1970; 0: nothing waits
}

// Outbox keeps reports on their way out (RFC 9990).
type Outbox interface {
	// ReportDays lists the days from since on, newest first.
	ReportDays(ctx context.Context, since Day) ([]ReportDay, error)
	// PendingDays lists the days from since on and before a day whose reports are not built yet,
	// oldest first, without Late.
	PendingDays(ctx context.Context, since, before Day) ([]ReportDay, error)
	// CloseDay ends a day. It reports false where another process was faster.
	CloseDay(ctx context.Context, d Day, at int64, waitedFor string) (bool, error)
	// Reported counts the messages of a day that are in reports, by policy domain and policy,
	// sorted by domain.
	Reported(ctx context.Context, d Day) ([]Reported, error)
	// ReportRows calls f with the counted rows of a policy domain, or of all sorted by domain
	// where it is "", the most messages of a domain first. A row has the columns of which a
	// report is made.
	ReportRows(ctx context.Context, d Day, domain string, f func(*ReportRow) error) error
	// PolicyByHash returns a policy. ok is false where it is not known.
	PolicyByHash(ctx context.Context, h Hash) (p Policy, ok bool, err error)
	// SeenOK returns when mail of a domain was last accepted with a pass, 0 for never, and
	// SawOK notes it.
	SeenOK(ctx context.Context, domain string) (int64, error)
	SawOK(ctx context.Context, domains []string, at int64) error
	// AddReports adds reports, and skips those of which there is one already.
	AddReports(ctx context.Context, reports []Outgoing) error
	// DayBuilt notes that all reports of a closed day are there.
	DayBuilt(ctx context.Context, d Day, verdicts int64) error
	// Outgoing lists reports without their bodies, newest day first.
	Outgoing(ctx context.Context, f ReportFilter) ([]Outgoing, error)
	// OutgoingCounts counts what became of the reports from a day on.
	OutgoingCounts(ctx context.Context, since Day) (OutgoingCounts, error)
	// OutgoingReport returns one report with its body.
	OutgoingReport(ctx context.Context, d Day, domain string) (r Outgoing, ok bool, err error)
	// BuiltReports lists the reports whose time has come and that have no destinations yet.
	BuiltReports(ctx context.Context, now int64, limit int) ([]Outgoing, error)
	// Postpone moves the time of a built report.
	Postpone(ctx context.Context, d Day, domain string, next int64) error
	// SealReport gives a built report its destinations, or none for a reason. It does nothing
	// where the report is not built any more.
	SealReport(ctx context.Context, d Day, domain, why string, to []Delivery) error
	// Deliveries lists those of a report.
	Deliveries(ctx context.Context, d Day, domain string) ([]Delivery, error)
	// DueDeliveries lists what may be attempted now: what is due, and what a process that is
	// gone had begun.
	DueDeliveries(ctx context.Context, now int64, limit int) ([]Delivery, error)
	// Lease begins an attempt. It reports false if the delivery is not due at now: another
	// process was faster.
	Lease(ctx context.Context, x Delivery, now, until int64) (bool, error)
	// EndAttempt notes the state, reply and times of x. Once no delivery of its report is open
	// the report is done.
	EndAttempt(ctx context.Context, x Delivery) error
	// DeliveryOf finds a delivery by its token.
	DeliveryOf(ctx context.Context, token string) (x Delivery, ok bool, err error)
	// PreviousDelivery returns the last delivery to the address of x that was sent or failed,
	// other than x and not of a later day.
	PreviousDelivery(ctx context.Context, x Delivery) (p Delivery, ok bool, err error)
	// Resend makes the sent and failed deliveries of a report due again. It returns how many.
	Resend(ctx context.Context, d Day, domain string, now int64) (int64, error)
	Suppressions(ctx context.Context) ([]Suppression, error)
	// Suppression returns that of a target. ok is false where there is none.
	Suppression(ctx context.Context, target string) (s Suppression, ok bool, err error)
	Suppress(ctx context.Context, s Suppression) error
	// Lift removes a suppression. It reports whether there was one.
	Lift(ctx context.Context, target string) (bool, error)
	// QueueFailure adds a failure report, once for each of its addresses, as deliveries that are due,
	// unless one of the limits forbids it. The error is ErrFull if too many wait.
	QueueFailure(ctx context.Context, limit FailureLimit, to []FailureReport) (bool, error)
	// DueFailures lists failure reports that may be attempted now, as DueDeliveries does. Lease,
	// EndAttempt and DeliveryOf are for them too.
	DueFailures(ctx context.Context, now int64, limit int) ([]FailureReport, error)
	// Failures lists failure reports, the last first, by Day, Since, Domain and State: OutWaiting and so on;
	// ReportSealed selects those that wait too, and ReportDone the others.
	Failures(ctx context.Context, f ReportFilter) ([]FailureReport, error)
	// FailureCounts counts what became of the failure reports from a day on.
	FailureCounts(ctx context.Context, since Day) (OutgoingCounts, error)
	// TrimReports removes bodies of reports that were done, and reports of days, before a day.
	TrimReports(ctx context.Context, bodiesBefore, reportsBefore Day) error
}
