package ui

import (
	"time"

	"postseal/internal/app/conf"
	"postseal/internal/app/doctor"
)

// The JSON formats of the page System. New fields may be added.
const (
	SystemSchema = "postseal.system/1"
	ConfigSchema = "postseal.config/1"
	ExemptSchema = "postseal.exempt/1"
	LookupSchema = "postseal.lookup/1"
)

// System is how the daemon is: GET /v1/system.
type System struct {
	Schema    string           `json:"schema"`
	Host      string           `json:"host"`
	Version   string           `json:"version"`
	Revision  string           `json:"revision"` // of the source, "" if it is not known
	Go        string           `json:"go"`
	Started   time.Time        `json:"started"`
	Listeners []Listening      `json:"listeners"`
	Resolver  ResolverState    `json:"resolver"`
	Log       LogLevel         `json:"log"`
	Health    []Measure        `json:"health"`
	Checks    []doctor.Finding `json:"checks"` // those of doctor, if they were asked for
	Hosts     []FleetHost      `json:"hosts"`  // of a fleet
	HostsFail string           `json:"hosts_error,omitempty"`
	Modules   []Module         `json:"modules"`
}

// Listening is one open listener.
type Listening struct {
	Name        string `json:"name"`
	Address     string `json:"address"`
	Connections int    `json:"connections"` // that are open; -1 if they are not counted
	// Last is when the last connection came; nil if none did since the start, or if they are not counted.
	Last *time.Time `json:"last_connection,omitempty"`
}

// ResolverState is how DNS queries are answered.
type ResolverState struct {
	Servers  []NameServer      `json:"servers"`
	Down     bool              `json:"down"`     // none answers
	Queries  uint64            `json:"queries"`  // since the start
	Failures map[string]uint64 `json:"failures"` // by kind, those above 0
	P50      float64           `json:"p50_ms"`   // upper bounds
	P99      float64           `json:"p99_ms"`
	Hits     uint64            `json:"cache_hits"`
	Misses   uint64            `json:"cache_misses"`
	Entries  int               `json:"cache_entries"`
	Bytes    int               `json:"cache_bytes"`
	Most     int64             `json:"cache_max_bytes"`
}

// NameServer is a server with what a query for arpa NS got from it now.
type NameServer struct {
	Server string  `json:"server"`
	Millis float64 `json:"rtt_ms"`
	Error  string  `json:"error,omitempty"`
}

// LogLevel is the level of the log, and when the configured one is back.
type LogLevel struct {
	Level      string     `json:"level"`
	Configured string     `json:"configured"`
	Until      *time.Time `json:"until,omitempty"`
}

// FleetHost is a daemon that shares the database.
type FleetHost struct {
	Name    string    `json:"name"`
	Version string    `json:"version"`
	Config  string    `json:"config"` // the number of the shared configuration, or own
	Problem string    `json:"problem,omitempty"`
	Seen    time.Time `json:"seen"`
	Away    bool      `json:"away"`
	SkewMS  int64     `json:"clock_skew_ms"` // ahead of the clock of the database
	LagMS   int64     `json:"lag_ms"`        // of its verdicts in the history, -1 if it is not known
	Lost    int64     `json:"lost"`
	Skewed  bool      `json:"clock_wrong"` // by more than SkewLimit
	Lagging bool      `json:"behind"`
}

// Module is a library in the program.
type Module struct {
	Path    string `json:"path"`
	Version string `json:"version"`
	License string `json:"license"` // an SPDX expression, "" if it is not known
}

// Configuration is the configuration in force and that of the file: GET /v1/config.
type Configuration struct {
	Schema   string        `json:"schema"`
	File     string        `json:"file"` // "" without one
	Read     time.Time     `json:"read"` // when the one in force was read
	Keys     []conf.Key    `json:"keys"`
	Problems []Problem     `json:"problems"` // of the file now
	Changes  []conf.Change `json:"changes"`  // what a reload would change
}

// Refused reports whether a reload would be refused.
func (c *Configuration) Refused() bool {
	for i := range c.Problems {
		if !c.Problems[i].Warning {
			return true
		}
	}
	return false
}

// Problem is an error or a warning with its place.
type Problem struct {
	File    string `json:"file"`
	Line    int    `json:"line"` // 0: the file as a whole
	Column  int    `json:"column"`
	Text    string `json:"text"`
	Warning bool   `json:"warning"`
	Source  string `json:"source,omitempty"` // the line, unless it may hold a secret
	Caret   string `json:"caret,omitempty"`  // spaces and "^", to show below it
}

// Exemptions are the entries of the local policy: GET /v1/exempt.
type Exemptions struct {
	Schema  string        `json:"schema"`
	Entries []ExemptEntry `json:"entries"`
	// Counted says why hits are missing, "" if they are exact. Since is how far they go back.
	Counted string    `json:"counted"`
	Since   time.Time `json:"since"`
	// Suggestions are senders whose mail was not accepted and may be wanted, those with the most mail first.
	Suggestions []ExemptSuggestion `json:"suggestions"`
}

// ExemptSuggestion is mail of 7 days through one list, or signed by one domain, for one author.
type ExemptSuggestion struct {
	By       string    `json:"by"` // list or dkim
	Sender   string    `json:"sender"`
	Author   string    `json:"author"`
	Messages int       `json:"messages"`
	Days     int       `json:"days"`
	LastRef  string    `json:"last_ref"`
	LastSeen time.Time `json:"last_seen"`
}

// ExemptEntry is an [[exempt]] or a [[rule]].
type ExemptEntry struct {
	Table    string         `json:"table"` // exempt or rule
	Index    int            `json:"index"` // in its table, from 1
	Label    string         `json:"label"` // by which a verdict names it
	Entry    string         `json:"entry"` // what it matches
	Action   string         `json:"action"`
	Why      string         `json:"why"`
	Until    string         `json:"until"` // the last day, "" for none
	Days     int            `json:"days"`  // until it ends, with Until
	Ended    bool           `json:"ended"`
	Ending   bool           `json:"ending"` // within 14 days
	Week     int            `json:"hits_7d"`
	Month    int            `json:"hits_30d"`
	Errors   int64          `json:"errors"` // evaluations that failed since the configuration was read
	LastRef  string         `json:"last_ref"`
	LastSeen *time.Time     `json:"last_seen,omitempty"`
	Asked    map[string]int `json:"policies"` // the published policies of its hits
	TOML     string         `json:"toml"`
}

// LookedUp is a DNS answer of the daemon's own resolver: GET /v1/lookup.
type LookedUp struct {
	Schema    string   `json:"schema"`
	Name      string   `json:"name"`
	Type      string   `json:"type"`
	Records   []string `json:"records"`
	NXDomain  bool     `json:"nxdomain"`
	Error     string   `json:"error,omitempty"`
	TTL       int      `json:"ttl_seconds"`
	Canonical string   `json:"canonical,omitempty"`
	Security  string   `json:"security"`
	Cached    bool     `json:"cached"`
	Stale     bool     `json:"stale"`
	Micros    int64    `json:"micros"`
}
