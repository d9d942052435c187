package store

import (
	"encoding/hex"
	"net/netip"
	"time"
)

// RowSchema is the name of the JSON of a Row. Changes to it only add.
const RowSchema = "postseal.row/1"

// The doors of messages that this receiver only looked at: they are in no report to others.
const (
	DoorReplay = "replay" // replay read it from an archive
	DoorHTTP   = "http"   // a program asked about it
)

// Row is one checked message. Its texts are as Clean and Domain return them; "" and 0 are
// "none". No local part, subject or recipient is in it.
type Row struct {
	ID     int64  `json:"id,omitempty"` // given by the database: see MakeID
	Millis int64  `json:"t"`            // the time of the verdict, in milliseconds since 1970
	Ref    string `json:"ref"`          // eight characters; several messages may share one
	QID    string `json:"qid,omitempty"`
	Node   int    `json:"node,omitempty"` // the slot of the node that recorded it
	Door   string `json:"door"`

	Action  string `json:"action"`
	Applied string `json:"applied"`
	Enforce string `json:"enforce,omitempty"`
	Reason  string `json:"reason"`

	Author  string     `json:"author,omitempty"`  // the first author domain
	Authors string     `json:"authors,omitempty"` // all, separated by commas, where there are several
	MFrom   string     `json:"mfrom,omitempty"`   // the domain of the reverse-path, "<>" for the null path
	Helo    string     `json:"helo,omitempty"`
	IP      netip.Addr `json:"ip,omitzero"`
	List    string     `json:"list,omitempty"` // the domain of List-Id

	SPF        string `json:"spf,omitempty"` // the result, "skipped" without a client address
	SPFDomain  string `json:"spf_domain,omitempty"`
	DKIM       string `json:"dkim,omitempty"` // "pass:d/s,fail:d/s(BodyHashMismatch)", "none"
	DMARC      string `json:"dmarc,omitempty"`
	Aligned    string `json:"aligned,omitempty"` // spf, dkim, both or none
	P          string `json:"p,omitempty"`       // the effective policy
	PolicyDom  string `json:"policy_domain,omitempty"`
	PolicyHash Hash   `json:"policy,omitzero"` // of the record, in the table of policies
	ARC        string `json:"arc,omitempty"`
	IPRev      string `json:"iprev,omitempty"`
	Override   string `json:"override,omitempty"` // a reason type of RFC 9990
	Why        string `json:"why,omitempty"`
	MessageID  Hash   `json:"mid,omitzero"` // keyed: see MessageIDKey

	Stale int   `json:"stale,omitempty"` // DNS answers past their TTL that the verdict rests on
	DNS   int   `json:"dns,omitempty"`   // DNS queries
	Bytes int64 `json:"bytes,omitempty"`
	Took  int   `json:"ms,omitempty"` // milliseconds
	// Cause says whether a report is wanted: 0 no, 1 yes, 2 counted, but never the reason of
	// a report.
	Cause int  `json:"cause,omitempty"`
	Late  bool `json:"late,omitempty"` // came after its day was closed
}

// At returns the time of the verdict.
func (r *Row) At() time.Time { return Time(r.Millis) }

// Hash distinguishes records: the first octets of a SHA-256. The zero Hash means none.
type Hash [8]byte

// MarshalText implements encoding.TextMarshaler.
func (h Hash) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, h[:]), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (h *Hash) UnmarshalText(text []byte) error {
	var full [8]byte
	if len(text) != 2*len(full) {
		return hex.ErrLength
	}
	if _, err := hex.Decode(full[:], text); err != nil {
		return err
	}
	*h = full
	return nil
}

func (h Hash) text() string { return hex.EncodeToString(h[:]) }

// IsZero reports whether there is no hash.
func (h Hash) IsZero() bool { return h == Hash{} }

// Policy is one distinct DMARC record of a domain, as it was seen (RFC 9989 §4.7).
type Policy struct {
	Hash      Hash   `json:"hash"`
	Domain    string `json:"domain"`
	Text      string `json:"record"`
	Discovery string `json:"discovery,omitempty"`
	First     int64  `json:"first"` // milliseconds since 1970
	Last      int64  `json:"last"`
}

// Selector is a DKIM selector of a domain that a signature named.
type Selector struct {
	Domain    string `json:"domain"`
	Selector  string `json:"selector"`
	Algorithm string `json:"algorithm,omitempty"`
	Bits      int    `json:"bits,omitempty"` // 0 while no key was found
	Verified  bool   `json:"verified"`       // a signature verified with its key
	First     int64  `json:"first"`
	Last      int64  `json:"last"`
}

// Record is a TXT record set of a name as DNS answered it. Domain is the registrable domain
// of the name, by which records are found.
type Record struct {
	Domain string `json:"domain"`
	Name   string `json:"name"`
	Hash   Hash   `json:"hash"`
	Text   string `json:"text"` // the strings of each record joined, records separated by LF
	First  int64  `json:"first"`
	Last   int64  `json:"last"`
}

// Reasons of a Loss.
const (
	LossQueue    = "queue"    // the queue in memory was full
	LossDisk     = "disk"     // the journal could not be written
	LossJournal  = "journal"  // the journal was full
	LossCrash    = "crash"    // the daemon ended without closing its journal; the number is not known
	LossBad      = "bad"      // the database refused the row
	LossCorrupt  = "corrupt"  // the journal file was damaged
	LossFailover = "failover" // the database asked for rows that the journal no longer has
)

// Loss counts rows that are known to be missing.
type Loss struct {
	Node   string `json:"node,omitempty"`
	Day    Day    `json:"day"`
	Reason string `json:"reason"`
	N      int64  `json:"n"` // -1: not known
	First  int64  `json:"first"`
	Last   int64  `json:"last"`
}

// Batch is what goes to the database in one transaction.
type Batch struct {
	Rows      []Row      `json:"rows,omitempty"`
	Policies  []Policy   `json:"policies,omitempty"`
	Selectors []Selector `json:"selectors,omitempty"`
	Records   []Record   `json:"records,omitempty"`
	Losses    []Loss     `json:"losses,omitempty"`
}

// Empty reports whether the batch holds nothing.
func (b *Batch) Empty() bool {
	return len(b.Rows)+len(b.Policies)+len(b.Selectors)+len(b.Records)+len(b.Losses) == 0
}
