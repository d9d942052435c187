package ui

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"postseal/internal/app/conf"
	"postseal/internal/app/doctor"
	"postseal/server/listener"
	"postseal/server/web"
)

func (s *source) System(_ context.Context, checks bool) *System {
	if s.system == nil {
		return &System{Host: "mx.example.net", Version: "test", Started: now.Add(-time.Hour)}
	}
	x := *s.system
	if !checks {
		x.Checks = nil
	}
	return &x
}

func (s *source) Configuration(context.Context) (*Configuration, error) {
	if s.config == nil {
		return &Configuration{Read: now}, s.failure
	}
	return s.config, s.failure
}

func (s *source) Exemptions(context.Context) (*Exemptions, error) {
	if s.exempts == nil {
		return &Exemptions{}, s.failure
	}
	return s.exempts, s.failure
}

func (s *source) LookUp(_ context.Context, name, kind string) (*LookedUp, error) {
	if strings.Contains(name, " ") {
		return nil, &web.Refusal{Status: http.StatusBadRequest, Detail: "name is not a domain name or an address"}
	}
	return &LookedUp{Name: name, Type: kind, Records: []string{"v=DMARC1; p=reject", hostile}, TTL: 3600, Security: "secure", Micros: 7100}, nil
}

func (s *source) Entry(_ context.Context, name string) Entry {
	return Entry{name, "as it is, with this exemption", "[[exempt]]\ndkim = 'lists.example.net'\nwhy = '" + hostile + "'\n"}
}

func (s *source) Reload(context.Context) error { return s.failure }
func (s *source) SetLogLevel(string) error     { return s.failure }

// inspectedSystem is a daemon of a fleet with a bit of everything.
func inspectedSystem() *System {
	until := now.Add(9 * time.Minute)
	return &System{Schema: SystemSchema, Host: "mx.example.net", Version: "test", Revision: "0123456789abcdef", Go: "1.26", Started: now.Add(-75 * time.Hour),
		Listeners: []Listening{{Name: "milter", Address: "127.0.0.1:8895", Connections: 41}, {Name: "policy", Address: "127.0.0.1:8892", Connections: 3}, {Name: "http", Address: "127.0.0.1:8896", Connections: -1}},
		Resolver:  ResolverState{Servers: []NameServer{{"127.0.0.1:53", 0.4, ""}, {"192.0.2.53:53", 0, "timeout"}}, Queries: 71204, Failures: map[string]uint64{"servfail": 12, "timeout": 3}, P50: 4, P99: 100, Hits: 931, Misses: 69, Entries: 4100, Bytes: 3 << 20, Most: 32 << 20},
		Log:       LogLevel{"debug", "info", &until}, Health: noticed().Health,
		Checks:  []doctor.Finding{{Check: "milter", Level: doctor.OK, Text: "milter answers (version 6)"}, {Check: "resolver", Level: doctor.Warn, Text: "the resolver does not validate", Hint: hostile}, {Check: "postfix", Level: doctor.Skip, Text: "is not installed"}},
		Hosts:   []FleetHost{{Name: "mx1.example.net", Version: "1.0", Config: "7", Seen: now, LagMS: 300}, {Name: "mx2.example.net", Version: "1.0", Config: "own", Seen: now.Add(-time.Hour), Away: true, SkewMS: 5200, Skewed: true, LagMS: 90_000, Lagging: true, Lost: 12, Problem: hostile}},
		Modules: []Module{{"github.com/spf13/cobra", "v1.10.0", "Apache-2.0"}}}
}

func inspectedConfig() *Configuration {
	return &Configuration{Schema: ConfigSchema, File: "/etc/postseal/postseal.toml", Read: now.Add(-75 * time.Hour),
		Keys: []conf.Key{{Path: "enforce", Name: "enforce", Value: `"guarded"`, Default: true}, {Path: "dns.cache", Table: "[dns]", Name: "cache", Value: `"64MiB"`}, {Path: "dns.stale", Table: "[dns]", Name: "stale", Value: `"24h0m"`, Default: true},
			{Path: "exempt[1].dkim", Table: "[[exempt]]", Name: "dkim", Value: `"partner.example"`}, {Path: "exempt[1].why", Table: "[[exempt]]", Name: "why", Value: `"` + hostile + `"`}, {Path: "exempt[2].ip", Table: "[[exempt]]", Name: "ip", Value: `"192.0.2.0/24"`}},
		Problems: []Problem{{File: "/etc/postseal/postseal.toml", Line: 12, Column: 9, Text: "this entry expired after 2026-11-01 and matches no more: renew or remove it", Warning: true, Source: "until = 2026-11-01", Caret: "        ^"}},
		Changes:  []conf.Change{{Path: "enforce", Was: `"guarded"`, Is: `"strict"`}, {Path: "log.level", Was: `"info"`, Is: `"debug"`, Restart: true}, {Path: "[[exempt]]", Is: "dkim = \"b.test\"\nwhy = \"" + hostile + "\""}}}
}

func inspectedExempts() *Exemptions {
	last := now.Add(-2 * time.Hour)
	return &Exemptions{Schema: ExemptSchema, Suggestions: []ExemptSuggestion{{By: "list", Sender: "lists.example.net", Author: "acme.test", Messages: 61, Days: 7, LastRef: "V8J8SAPH", LastSeen: last}, {By: "dkim", Sender: hostile, Author: hostile, Messages: 5, Days: 2, LastRef: "V8J8SAPH"}}, Since: now.AddDate(0, 0, -30), Entries: []ExemptEntry{
		{Table: "exempt", Index: 1, Label: "dkim=partner.example", Entry: "dkim=partner.example", Action: "accept", Why: "ticket 812", Until: "2026-12-01", Days: 1, Ending: true, Week: 61, Month: 212, LastRef: "V8J8SAPH", LastSeen: &last, Asked: map[string]int{"reject": 200, "quarantine": 12}, TOML: "[[exempt]]\ndkim = 'partner.example'\n"},
		{Table: "exempt", Index: 2, Label: "ip=192.0.2.0/24", Entry: "ip=192.0.2.0/24", Action: "accept", Until: "2026-11-01", Ended: true, Asked: map[string]int{}, TOML: "[[exempt]]\nip = '192.0.2.0/24'\n"},
		{Table: "rule", Index: 1, Label: "no news", Entry: "no news: " + hostile, Action: "quarantine", Errors: 3, Asked: map[string]int{}, TOML: "[[rule]]\n"}}}
}

// inspectedSource is a source for the pages of System.
func inspectedSource(t testing.TB) *source {
	return &source{db: filled(t), system: inspectedSystem(), config: inspectedConfig(), exempts: inspectedExempts()}
}

// TestSystemWords: the first line of each page of System says what matters most.
func TestSystemWords(t *testing.T) {
	well := inspectedSystem()
	well.Hosts, well.Resolver.Servers = nil, well.Resolver.Servers[:1]
	away := *well
	away.Hosts = inspectedSystem().Hosts
	down := *well
	down.Resolver.Down = true
	refused := *inspectedConfig()
	refused.Problems = []Problem{{File: "p.toml", Line: 1, Column: 1, Text: "x"}}
	db := filled(t)
	for _, c := range []struct {
		path, want string
		source     *source
	}{
		{"/system", "All is well on mx.example.net, which has run for 3 days.", &source{db: db, system: well}},
		{"/system", "The name server 192.0.2.53:53 does not answer.", inspectedSource(t)},
		{"/system", "Host mx2.example.net is away", &source{db: db, system: &away}},
		{"/system", "No name server answers.", &source{db: db, system: &down}},
		{"/system", "[store] url is &#34;none&#34;", &source{why: `[store] url is "none"`, system: well}},
		{"/system/config", "The configuration file differs from what is in force: a reload would make 3 changes.", inspectedSource(t)},
		{"/system/config", "1 error in the configuration file: a reload would be refused.", &source{config: &refused}},
		{"/system/config", "No configuration file is used: the defaults are in force.", &source{}},
		{"/system/config", "The configuration cannot be shown.", &source{failure: errors.New("stopping")}},
		{"/system/exempt", "1 entry has expired and no longer applies; 1 entry ends within 14 days; 1 entry was not used in 30 days.", inspectedSource(t)},
		{"/system/exempt", "Every domain&#39;s own policy decides: you have no exemptions and no rules.", &source{}},
	} {
		if _, body := open(t, handler(c.source), c.path); !strings.Contains(body, "<h1>"+c.want) {
			t.Errorf("%s: want %q in %.300s", c.path, c.want, body[strings.Index(body, "<h1>"):])
		}
	}
}

// TestSystemActs: only an admin is offered to reload and to set the level; a refused file says why.
func TestSystemActs(t *testing.T) {
	s := inspectedSource(t)
	for role, want := range map[listener.Role]bool{listener.AdminRole: true, listener.ReaderRole: false} {
		for _, path := range []string{"/system", "/system/config"} {
			if _, body := open(t, as(handler(s), role), path); strings.Contains(body, "/system/act") != want {
				t.Errorf("%s as %s: acts %v", path, role, !want)
			}
		}
	}
	post := func(form url.Values) *httptest.ResponseRecorder {
		r := httptest.NewRequest("POST", "/system/act", strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		rw := httptest.NewRecorder()
		as(handler(s), listener.AdminRole).ServeHTTP(rw, r)
		return rw
	}
	for act, want := range map[string]string{"reload": "/system/config", "level": "/system#log"} {
		if rw := post(url.Values{"act": {act}, "level": {"debug"}}); rw.Code != http.StatusSeeOther || rw.Header().Get("Location") != want {
			t.Errorf("%s: %d %s", act, rw.Code, rw.Header())
		}
	}
	if rw := post(url.Values{"act": {"halt"}}); rw.Code != http.StatusBadRequest {
		t.Errorf("unknown act: %d", rw.Code)
	}
	s.failure = &web.Refusal{Status: 400, Detail: "level is not one of " + hostile}
	if rw := post(url.Values{"act": {"level"}}); rw.Code != http.StatusBadRequest || !strings.Contains(rw.Body.String(), "level is not one of &lt;script") {
		t.Errorf("a refused level: %d", rw.Code)
	}
}
