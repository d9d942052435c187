package postfix

import (
	"net"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// The parameters that setup changes.
const (
	Milters     = "smtpd_milters"
	Recipient   = "smtpd_recipient_restrictions"
	BareNewline = "smtpd_forbid_bare_newline"
	Protocol    = "milter_protocol"

	proxyFilter = "smtpd_proxy_filter"
)

// Change is one parameter to set.
type Change struct {
	Name     string `json:"name"`
	Old      string `json:"old"`
	Explicit bool   `json:"explicit"` // Old is the value in main.cf
	New      string `json:"new"`
}

// Where names what was changed: a parameter of main.cf, or another file.
func (c *Change) Where() string {
	if filepath.IsAbs(c.Name) {
		return c.Name
	}
	return c.Name + " of main.cf"
}

// Listeners are the listeners of postseal in Postfix's notation; "" is a listener that Postfix does
// not use.
type Listeners struct {
	Milter        string
	Policy        string
	DefaultAction string // of the milter: what Postfix does while postseal is down
}

// ReceivedSPF returns the value of [policy] received_spf that suits these listeners. The milter
// writes the results itself, and it removes a Received-SPF field of the policy service, because
// it cannot tell that field from a forged one.
func (d Listeners) ReceivedSPF() bool { return d.Milter == "" }

// Plan lists the necessary changes. It is empty if everything is set. If main.cf itself says
// that LF is a line ending, that is kept.
func (s *Settings) Plan(d Listeners) []Change {
	var changes []Change
	if d.Milter != "" && (!s.Uses(d.Milter) || len(s.Former(d.Milter)) > 0) {
		changes = append(changes, s.change(Milters, s.Milters, s.withMilter(d)))
	}
	if d.Milter != "" && s.OldProtocol() {
		changes = append(changes, s.change(Protocol, s.Protocol, "6"))
	}
	if d.Policy != "" && !s.UsesPolicy(d.Policy) {
		changes = append(changes, s.change(Recipient, s.Recipient, s.withPolicy(d.Policy)))
	}
	if s.BareNewline != "" && s.Smuggles() && !s.Explicit[BareNewline] {
		// "normalize", under the name that the first releases with the parameter also know.
		changes = append(changes, s.change(BareNewline, s.BareNewline, "yes"))
	}
	return changes
}

// withMilter returns smtpd_milters with our milter in place of a former one of ours, or else
// first, because a milter that edits the message earlier would break signatures.
func (s *Settings) withMilter(d Listeners) string {
	entry := "{ " + d.Milter + ", default_action=" + d.DefaultAction + " }"
	if s.Uses(d.Milter) {
		entry = ""
	}
	former, list := s.Former(d.Milter), s.Milters
	for _, raw := range milterEntries(s.Milters) {
		if name := MilterList(raw); len(name) == 1 && slices.Contains(former, name[0]) {
			list, entry = strings.Replace(list, raw, entry, 1), ""
		}
	}
	if entry != "" {
		return join(entry, list)
	}
	return strings.Trim(list, ", \t")
}

// usualEndpoints are those of the packages and of a daemon without a configuration.
var usualEndpoints = []string{"unix:postseal/milter.sock", "inet:127.0.0.1:8895"}

// Former lists endpoints in smtpd_milters that setup once wrote, or that postseal usually uses,
// except the current one.
func (s *Settings) Former(endpoint string) []string {
	var former []string
	for _, e := range MilterList(s.Milters) {
		if e != endpoint && (slices.Contains(usualEndpoints, e) || slices.Contains(s.wrote, e)) {
			former = append(former, e)
		}
	}
	return former
}

// OldProtocol reports whether Postfix uses a milter protocol without the leading space of
// header fields, which breaks simple canonicalization.
func (s *Settings) OldProtocol() bool {
	n, err := strconv.Atoi(s.Protocol)
	return err == nil && n < 6
}

// Smuggles reports whether a second message can be smuggled inside a first: Postfix then ends a
// message where the server before it does not (CVE-2023-51764).
func (s *Settings) Smuggles() bool {
	switch strings.ToLower(s.BareNewline) {
	case "yes", "normalize", "reject":
		return false
	}
	return true
}

func (s *Settings) change(name, old, changed string) Change {
	return Change{Name: name, Old: old, Explicit: s.Explicit[name], New: changed}
}

// Uses reports whether smtpd_milters names the endpoint.
func (s *Settings) Uses(endpoint string) bool {
	return slices.Contains(MilterList(s.inForce(Milters, s.Milters)), endpoint)
}

// UsesPolicy reports whether smtpd_recipient_restrictions uses the endpoint.
func (s *Settings) UsesPolicy(endpoint string) bool {
	return slices.Contains(words(s.inForce(Recipient, s.Recipient)), endpoint)
}

// Without returns smtpd_milters without an endpoint.
func (s *Settings) Without(endpoint string) string {
	list := s.Milters
	for _, raw := range milterEntries(s.Milters) {
		if name := MilterList(raw); len(name) == 1 && name[0] == endpoint {
			list = strings.Replace(list, raw, "", 1)
		}
	}
	return strings.Join(milterEntries(list), ", ")
}

// Listener returns the listener for an endpoint in Postfix's notation, as unix:PATH or
// HOST:PORT; "" for other forms, such as a $name.
func (s *Settings) Listener(endpoint string) string {
	kind, rest, _ := strings.Cut(endpoint, ":")
	switch kind {
	case "unix", "local":
		if !filepath.IsAbs(rest) {
			rest = filepath.Join(s.QueueDir, rest)
		}
		return "unix:" + rest
	case "inet":
		if host, port, err := net.SplitHostPort(rest); err == nil && port != "" {
			return net.JoinHostPort(host, port)
		}
	}
	return ""
}

// InForce lists the endpoints of smtpd_milters, with $names replaced.
func (s *Settings) InForce() []string { return MilterList(s.inForce(Milters, s.Milters)) }

// OnFailure returns what Postfix does while the milter of an endpoint is down.
func (s *Settings) OnFailure(endpoint string) string {
	value := s.inForce(Milters, s.Milters)
	for _, m := range inBraces.FindAllStringSubmatch(value, -1) {
		if !slices.Contains(MilterList(m[0]), endpoint) {
			continue
		}
		if action := ownAction.FindStringSubmatch(m[0]); action != nil {
			return action[1]
		}
	}
	return s.DefaultAction
}

var (
	inBraces  = regexp.MustCompile(`\{[^}]*\}`)
	ownAction = regexp.MustCompile(`\bdefault_action\s*=\s*([a-z]+)`)
)

// milterEntries yields the entries of smtpd_milters as written, including braces.
func milterEntries(value string) []string {
	var list []string
	for value = strings.TrimLeft(value, ", \t\r\n"); value != ""; value = strings.TrimLeft(value, ", \t\r\n") {
		end := strings.IndexAny(value, ", \t\r\n")
		if value[0] == '{' {
			end = strings.IndexByte(value, '}') + 1
		}
		if end <= 0 {
			end = len(value)
		}
		list, value = append(list, value[:end]), value[end:]
	}
	return list
}

// MilterList yields the endpoints of smtpd_milters in order. An entry in braces starts with its
// endpoint, followed by its own parameters.
func MilterList(value string) []string {
	var list []string
	for value = strings.TrimLeft(value, ", \t\r\n"); value != ""; value = strings.TrimLeft(value, ", \t\r\n") {
		if value[0] != '{' {
			end := strings.IndexAny(value, ", \t\r\n")
			if end < 0 {
				end = len(value)
			}
			list, value = append(list, value[:end]), value[end:]
			continue
		}
		inside, rest, _ := strings.Cut(value[1:], "}")
		if first := words(inside); len(first) > 0 {
			list = append(list, first[0])
		}
		value = rest
	}
	return list
}

// withPolicy adds the policy service directly after the relay check, because rejected relay
// attempts need no DNS. The rest of the value is unchanged.
func (s *Settings) withPolicy(endpoint string) string {
	ask, list := "check_policy_service "+endpoint, strings.TrimSpace(s.Recipient)
	if list == "" {
		list = "permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination"
	}
	if m := relayCheck.FindStringIndex(list); m != nil {
		return list[:m[1]] + ", " + ask + list[m[1]:]
	}
	if m := lastPermit.FindStringIndex(list); m != nil {
		return list[:m[0]] + ask + ", permit"
	}
	return list + ", " + ask
}

var (
	relayCheck = regexp.MustCompile(`\b(reject|defer)_unauth_destination\b`)
	lastPermit = regexp.MustCompile(`\bpermit$`)
)

func words(value string) []string {
	return strings.FieldsFunc(value, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' || r == '\n' || r == '\r' })
}

func join(entry, list string) string {
	if list == "" {
		return entry
	}
	return entry + ", " + list
}

// writers are milters that write their own Authentication-Results fields, identified by their
// usual sockets.
var writers = []struct{ mark, name string }{
	{"opendmarc", "opendmarc"}, {":8893", "opendmarc"}, {":54321", "opendmarc"},
	{"opendkim", "opendkim"}, {":8891", "opendkim"}, {":12301", "opendkim"},
	{"openarc", "openarc"}, {"dkimpy", "dkimpy-milter"}, {"rspamd", "rspamd"}, {":11332", "rspamd"},
	{"authentication_milter", "authentication_milter"}, {"authmilter", "authentication_milter"}, {"amavis", "amavis"}, {"pyspf", "pyspf-milter"},
	{"spf-milter", "spf-milter"},
}

// AsksPolicyd reports whether smtpd_recipient_restrictions uses a policyd-spf.
func (s *Settings) AsksPolicyd() bool {
	value := s.inForce(Recipient, s.Recipient)
	return strings.Contains(value, "policyd-spf") || strings.Contains(value, "policy-spf")
}

// Others names the other milters in smtpd_milters that write Authentication-Results.
func (s *Settings) Others(ours string) []string {
	var names []string
	for _, endpoint := range MilterList(s.inForce(Milters, s.Milters)) {
		if endpoint == ours {
			continue
		}
		for _, w := range writers {
			if strings.Contains(endpoint, w.mark) && !slices.Contains(names, w.name) {
				names = append(names, w.name)
				break
			}
		}
	}
	return names
}
