package quickstart

import (
	"fmt"
	"regexp"
	"time"

	"postseal/internal/app/conf"
)

// edit is a key that quickstart adds to an existing configuration, and why.
type edit struct{ text, why string }

const newConfiguration = `# Written by postseal quickstart. postseal.toml(5) and docs/reference/config.md list every key.
authserv_id = %q
# Nothing is refused yet: see what would be, then choose "guarded".
enforce = "observe"
# A page that tells rejected senders the reason: publish it first, as postseal setup refusal says.
#reply_url = "https://%s/r"
#listen.public = "127.0.0.1:8897"

[policy]
# The milter writes the results, and it removes this field of the policy service.
received_spf = false
`

var (
	setsID          = regexp.MustCompile(`(?m)^[ \t]*authserv_id[ \t]*=`)
	setsReceivedSPF = regexp.MustCompile(`(?m)^[ \t]*(policy[ \t]*\.[ \t]*)?received_spf[ \t]*=`)
	policyTable     = regexp.MustCompile(`(?m)^[ \t]*\[[ \t]*policy[ \t]*\][^\n]*\n?`)
)

// configuration returns the new configuration file: a new one that rejects nothing, or the
// existing one with the keys that it lacks.
func (s *Survey) configuration() ([]byte, []edit) {
	if s.before == nil {
		return fmt.Appendf(nil, newConfiguration, s.Postfix.Hostname, s.Postfix.Hostname), nil
	}
	text, edits := s.before, []edit(nil)
	if !setsID.Match(text) {
		id := fmt.Sprintf("authserv_id = %q", s.Postfix.Hostname)
		text = append([]byte(id+"\n"), text...)
		edits = append(edits, edit{id, "without it the name of this machine is used, which may not be that of the mail server"})
	}
	if with, ok := s.withoutReceivedSPF(text); ok {
		text = with
		edits = append(edits, edit{"[policy] received_spf = false", "the milter writes the results, and it removes that field of the policy service"})
	}
	return text, edits
}

// withoutReceivedSPF sets [policy] received_spf = false in text, if there is a policy service. It
// leaves a value that the operator chose, and a table policy that is not written as [policy]:
// doctor then tells.
func (s *Survey) withoutReceivedSPF(text []byte) ([]byte, bool) {
	if s.Config.Listen.Policy == "" || !s.Config.Policy.ReceivedSPF || setsReceivedSPF.Match(text) {
		return nil, false
	}
	at, key := len(text), "received_spf = false\n"
	if header := policyTable.FindIndex(text); header != nil {
		at = header[1]
	} else {
		key = "\n[policy]\n" + key
	}
	if at > 0 && text[at-1] != '\n' {
		key = "\n" + key
	}
	with := append(append(append([]byte(nil), text[:at]...), key...), text[at:]...)
	c, _, err := conf.Parse(s.ConfigFile, with, time.Now())
	return with, err == nil && !c.Policy.ReceivedSPF
}
