// Package doctor looks at a running postseal from outside, as Postfix does, and at whether
// the two see each other.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"postseal"
	"postseal/internal/app/postfix"
	"postseal/resolver"
)

// Level is how a check ended.
type Level string

// The levels. Down: a door of the daemon cannot be reached.
const (
	OK   Level = "ok"
	Warn Level = "warn"
	Fail Level = "fail"
	Down Level = "down"
	Skip Level = "skip"
)

// Finding is the outcome of one check.
type Finding struct {
	Check string `json:"check"`
	Level Level  `json:"level"`
	Text  string `json:"text"`
	Hint  string `json:"hint"` // how to mend it
}

// Options say what to look at.
type Options struct {
	Milter, Policy, HTTP string // listeners, unix:PATH or HOST:PORT; "" is not there to be looked at
	Resolver             resolver.Resolver
	Enforce              postseal.Enforce
	Postfix              *postfix.Settings // nil: PostfixError says why
	PostfixError         error
	Timeout              time.Duration // of each check; 0 is DefaultTimeout
}

// DefaultTimeout is enough for a daemon that waits for slow name servers.
const DefaultTimeout = 10 * time.Second

// Run makes every check, in the order in which mail meets them.
func Run(ctx context.Context, o Options) []Finding {
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	checks := []func(context.Context, *Options) []Finding{checkMilter, checkPolicy, checkHTTP, checkResolver, checkPostfix, checkMode}
	var findings []Finding
	for _, check := range checks {
		limited, cancel := context.WithTimeout(ctx, o.Timeout)
		findings = append(findings, check(limited, &o)...)
		cancel()
	}
	return findings
}

func one(check string, level Level, hint, format string, args ...any) []Finding {
	return []Finding{{check, level, fmt.Sprintf(format, args...), hint}}
}

// split is the network and the address of a listener.
func split(listener string) (network, address string) {
	if path, unix := strings.CutPrefix(listener, "unix:"); unix {
		return "unix", path
	}
	return "tcp", listener
}

const startHint = "start it: systemctl enable --now postseal.socket, or postseal serve --config FILE"

// checkHTTP asks whether the daemon is ready for work.
func checkHTTP(ctx context.Context, o *Options) []Finding {
	if o.HTTP == "" {
		return one("http", Skip, "", "no http listener is configured")
	}
	network, address := split(o.HTTP)
	client := &http.Client{Transport: &http.Transport{DialContext: dialTo(network, address), DisableKeepAlives: true}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://postseal/readyz", nil)
	if err != nil {
		return one("http", Fail, "", "%v", err)
	}
	response, err := client.Do(request)
	if err != nil {
		return one("http", Down, startHint, "http %s does not answer: %v", o.HTTP, cause(err))
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(response.Body, 2000))
	if response.StatusCode != http.StatusOK {
		return one("http", Fail, "see the log of the daemon", "http %s: not ready: %s %s", o.HTTP, response.Status, strings.Join(strings.Fields(string(body)), " "))
	}
	return one("http", OK, "", "http ready")
}

// checkResolver asks for the name servers of arpa, as /readyz does: the zone is signed, so
// who validates says so.
func checkResolver(ctx context.Context, o *Options) []Finding {
	answer, err := o.Resolver.Lookup(ctx, "arpa", resolver.NS)
	switch {
	case err != nil:
		return one("resolver", Fail, "see [dns] servers, and whether that name server runs", "the resolver does not answer: %v", err)
	case len(answer.Records) == 0:
		return one("resolver", Warn, "is it cut off from the DNS?", "the resolver answers, but does not know the zone arpa")
	case answer.Security != resolver.Secure:
		return one("resolver", Warn, "run a validating resolver on this machine, such as unbound",
			"the resolver answers, but does not validate DNSSEC as far as can be told")
	}
	return one("resolver", OK, "", "the resolver answers and validates DNSSEC")
}

// checkMode says what becomes of a refused message.
func checkMode(_ context.Context, o *Options) []Finding {
	if o.Enforce == postseal.Observe {
		return one("mode", Warn, "see what would be: postseal replay; then set enforce", "mode observe: nothing is refused yet")
	}
	return one("mode", OK, "", "mode %s", o.Enforce)
}

// checkPostfix asks whether Postfix asks us.
func checkPostfix(_ context.Context, o *Options) []Finding {
	switch {
	case errors.Is(o.PostfixError, postfix.ErrNotInstalled):
		return one("postfix", Skip, "", "%v", o.PostfixError)
	case o.Postfix == nil:
		return one("postfix", Fail, "name Postfix's configuration with --config-dir", "%v", o.PostfixError)
	}
	s := o.Postfix
	var f []Finding
	milter := ""
	if o.Milter != "" {
		endpoint, err := s.Endpoint(o.Milter)
		milter = endpoint
		switch {
		case err != nil:
			f = append(f, one("postfix", Fail, "", "%v", err)...)
		case s.Uses(endpoint):
			f = append(f, one("postfix", OK, "", "Postfix %s asks the milter", s.Version)...)
		default:
			f = append(f, one("postfix", Fail, "postseal setup postfix --apply", "smtpd_milters of Postfix does not name %s", endpoint)...)
		}
	}
	if o.Policy != "" {
		if endpoint, err := s.Endpoint(o.Policy); err == nil && !s.UsesPolicy(endpoint) {
			f = append(f, one("postfix", Warn, "postseal setup postfix --apply, if SPF is to be checked before the message comes",
				"Postfix does not ask the policy service")...)
		}
	}
	if others := s.Others(milter); len(others) > 0 {
		f = append(f, one("postfix", Warn, "let one program write Authentication-Results: take the other out of smtpd_milters",
			"also in smtpd_milters: %s, which may write Authentication-Results too", strings.Join(others, ", "))...)
	}
	for _, service := range s.Overrides {
		f = append(f, one("postfix", Warn, "", "the service %s of master.cf sets smtpd_milters itself: its mail may pass unchecked", service)...)
	}
	if milter != "" && s.Uses(milter) && s.OnFailure(milter) == "accept" {
		f = append(f, one("postfix", Warn, "default_action=tempfail defers it instead", "while postseal is away, Postfix accepts mail unchecked")...)
	}
	if s.Smuggles() {
		f = append(f, one("postfix", Warn, postfix.BareNewline+" = normalize, in a Postfix that knows it; postseal selftest --postfix shows whether it holds",
			"Postfix takes LF for a line end: a second message can be smuggled within a first")...)
	}
	return f
}

// Worst is the gravest level of findings.
func Worst(findings []Finding) Level {
	worst := OK
	for _, f := range findings {
		if gravity(f.Level) > gravity(worst) {
			worst = f.Level
		}
	}
	return worst
}

func gravity(l Level) int {
	switch l {
	case Warn:
		return 1
	case Fail:
		return 2
	case Down:
		return 3
	}
	return 0
}
