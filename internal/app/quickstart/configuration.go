package quickstart

import (
	"fmt"
	"regexp"

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

var setsID = regexp.MustCompile(`(?m)^[ \t]*authserv_id[ \t]*=`)

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
	if s.Config.Listen.Policy == "" {
		return text, edits
	}
	if with, ok := conf.WithReceivedSPF(text, false); ok {
		text = with
		edits = append(edits, edit{"[policy] received_spf = false", "the milter writes the results, and it removes that field of the policy service"})
	}
	return text, edits
}
