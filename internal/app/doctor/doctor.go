// Package doctor checks a running postseal from outside, as Postfix sees it, and whether the
// two work together.
package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"postseal"
	"postseal/internal/app/endpoint"
	"postseal/internal/app/postfix"
	"postseal/resolver"
)

// Level is the result of a check.
type Level string

// The levels. Down: a listener of the daemon cannot be reached.
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
	Hint  string `json:"hint"` // how to fix it
}

// Options say what to check.
type Options struct {
	// Milter, Policy, HTTP and SMTP are listeners, unix:PATH or HOST:PORT; "" means that there
	// is none to check.
	Milter, Policy, HTTP, SMTP string
	NextHop                    string // of the SMTP proxy, HOST:PORT
	Resolver                   resolver.Resolver
	Servers                    []string // the name servers that Resolver queries, if they are known
	Enforce                    postseal.Enforce
	ReceivedSPF                bool              // [policy] received_spf
	Postfix                    *postfix.Settings // if nil, PostfixError says why
	PostfixError               error
	Timeout                    time.Duration // of each check; 0 is DefaultTimeout
}

// DefaultTimeout is enough for a daemon that waits for slow name servers.
const DefaultTimeout = 10 * time.Second

// Run makes every check, in the order in which mail passes the components.
func Run(ctx context.Context, o Options) []Finding {
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	checks := []func(context.Context, *Options) []Finding{checkMilter, checkPolicy, checkSMTP, checkHTTP, checkResolver, checkUnbound, checkPostfix, checkMode}
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

const startHint = "start it: systemctl enable --now postseal.service, or postseal serve; its log says why it ends"

// checkHTTP checks whether the daemon is ready.
func checkHTTP(ctx context.Context, o *Options) []Finding {
	if o.HTTP == "" {
		return one("http", Skip, "", "no http listener is configured")
	}
	status, text, err := endpoint.Ask(ctx, o.HTTP, "/readyz")
	if err != nil {
		return one("http", Down, startHint, "http %s does not answer: %v", o.HTTP, endpoint.Cause(err))
	}
	if status != "200 OK" {
		return one("http", Fail, "see the log of the daemon", "http %s: not ready: %s", o.HTTP, reason(status, text))
	}
	return one("http", OK, "", "http ready")
}

// reason is what a problem document (RFC 9457) says in detail, or else the status with the text.
func reason(status, text string) string {
	var problem struct{ Detail string }
	if json.Unmarshal([]byte(text), &problem) == nil && problem.Detail != "" {
		return strings.TrimPrefix(problem.Detail, "not ready: ")
	}
	return status + " " + text
}

// checkResolver queries the name servers of arpa, as /readyz does: the zone is signed, so a
// validating resolver marks the answer.
func checkResolver(ctx context.Context, o *Options) []Finding {
	answer, err := o.Resolver.Lookup(ctx, "arpa", resolver.NS)
	switch {
	case err != nil:
		return one("resolver", Fail, "run a validating resolver on this machine, such as unbound, or see [dns] servers and whether that name server runs", "the resolver does not answer: %v", err)
	case len(answer.Records) == 0:
		return one("resolver", Warn, "is it cut off from the DNS?", "the resolver answers, but does not know the zone arpa")
	case answer.Security != resolver.Secure:
		return one("resolver", Warn, "run a validating resolver on this machine, such as unbound",
			"the resolver answers, but does not validate DNSSEC as far as can be told")
	}
	return one("resolver", OK, "", "the resolver answers and validates DNSSEC")
}

// Resolver checks whether the resolver, which queries servers, answers and validates.
func Resolver(ctx context.Context, r resolver.Resolver, servers []string) []Finding {
	ctx, cancel := context.WithTimeout(ctx, DefaultTimeout)
	defer cancel()
	o := Options{Resolver: r, Servers: servers}
	return append(checkResolver(ctx, &o), checkUnbound(ctx, &o)...)
}

// checkMode reports what happens to a rejected message.
func checkMode(_ context.Context, o *Options) []Finding {
	if o.Enforce == postseal.Observe {
		return one("mode", Warn, "see what would be: postseal replay; then set enforce", "mode observe: nothing is refused yet")
	}
	return one("mode", OK, "", "mode %s", o.Enforce)
}

// Worst returns the most severe level of findings.
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
