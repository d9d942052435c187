package postfix

import (
	"regexp"
	"slices"
	"strings"
)

// The parameters that setup changes.
const (
	Milters     = "smtpd_milters"
	Recipient   = "smtpd_recipient_restrictions"
	BareNewline = "smtpd_forbid_bare_newline"
)

// Change is one parameter to set.
type Change struct {
	Name     string `json:"name"`
	Old      string `json:"old"`
	Explicit bool   `json:"explicit"` // Old stands in main.cf
	New      string `json:"new"`
}

// Doors are the listeners of postseal as Postfix names them, "" is a door that Postfix
// does not use.
type Doors struct {
	Milter        string
	Policy        string
	DefaultAction string // of the milter: what Postfix does while postseal is away
}

// Plan lists what has to change. It is empty when everything is set. That LF is a line end
// stays where main.cf says so itself.
func (s *Settings) Plan(d Doors) []Change {
	var changes []Change
	if d.Milter != "" && !s.Uses(d.Milter) {
		entry := "{ " + d.Milter + ", default_action=" + d.DefaultAction + " }"
		// First, since a milter that edits the message before us would break signatures.
		changes = append(changes, s.change(Milters, s.Milters, join(entry, s.Milters)))
	}
	if d.Policy != "" && !s.UsesPolicy(d.Policy) {
		changes = append(changes, s.change(Recipient, s.Recipient, s.withPolicy(d.Policy)))
	}
	if s.BareNewline != "" && s.Smuggles() && !s.Explicit[BareNewline] {
		// "normalize", by the name that the first releases with the parameter know too.
		changes = append(changes, s.change(BareNewline, s.BareNewline, "yes"))
	}
	return changes
}

// Smuggles reports whether a second message can be smuggled within a first: Postfix then ends
// a message where the server before it does not (CVE-2023-51764).
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

// UsesPolicy reports whether smtpd_recipient_restrictions asks the endpoint.
func (s *Settings) UsesPolicy(endpoint string) bool {
	return slices.Contains(words(s.inForce(Recipient, s.Recipient)), endpoint)
}

// OnFailure is what Postfix does while the milter of an endpoint is away.
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

// MilterList gives the endpoints of smtpd_milters in order. An entry in braces begins with
// its endpoint and goes on with parameters of its own.
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

// withPolicy asks the policy service right after the check against relaying: what is
// refused there needs no DNS. The rest of the value stays as it is written.
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

// writers are milters that write Authentication-Results fields of their own, by what
// their sockets are usually called or numbered.
var writers = []struct{ mark, name string }{
	{"opendmarc", "opendmarc"}, {":8893", "opendmarc"}, {":54321", "opendmarc"},
	{"opendkim", "opendkim"}, {":8891", "opendkim"}, {":12301", "opendkim"},
	{"openarc", "openarc"}, {"dkimpy", "dkimpy-milter"}, {"rspamd", "rspamd"}, {":11332", "rspamd"},
	{"authentication_milter", "authentication_milter"}, {"authmilter", "authentication_milter"}, {"amavis", "amavis"}, {"pyspf", "pyspf-milter"},
	{"spf-milter", "spf-milter"},
}

// Others names the other milters of smtpd_milters that write Authentication-Results.
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
