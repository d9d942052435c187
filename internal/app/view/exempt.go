package view

import (
	"strings"

	"postseal"
	"postseal/internal/app/rules"
)

// Exemption is an [[exempt]] entry for a message.
type Exemption struct {
	Ref    string
	Entry  rules.Exempt
	Report *postseal.Report
	List   bool // the message came from a list whose identifier is unknown
}

type exemptionJSON struct {
	Schema string            `json:"schema"`
	Ref    string            `json:"ref"`
	Entry  map[string]string `json:"entry"`
	TOML   string            `json:"toml"`
}

// Exempt writes an entry that can be pasted into the configuration.
func (p *Page) Exempt(e *Exemption) error {
	text := e.Entry.TOML()
	if e.List {
		text += "# list_id = \"LIST.EXAMPLE.NET\"  # narrows it to one list: take the value from the List-Id field of the message\n"
	}
	if p.JSON() {
		entry := map[string]string{}
		for _, k := range []struct{ key, value string }{{"ip", e.Entry.IP}, {"dkim", e.Entry.DKIM}, {"spf", e.Entry.SPF}, {"list_id", e.Entry.ListID},
			{"author", e.Entry.Author}, {"why", e.Entry.Why}, {"until", e.Entry.Until.String()}} {
			if k.value != "" {
				entry[k.key] = k.value
			}
		}
		return p.Object(exemptionJSON{"postseal.exempt/1", e.Ref, entry, text})
	}
	if !p.Quiet {
		p.line("# Accepts mail %s.", p.clean(meaning(&e.Entry)))
	}
	for line := range strings.Lines(text) {
		p.line("%s", p.Style.Sanitize(strings.TrimSuffix(line, "\n"), 0))
	}
	return nil
}

// meaning describes in words what an entry accepts.
func meaning(e *rules.Exempt) string {
	var parts []string
	for _, k := range []struct{ value, text string }{{e.IP, "from the address "}, {e.DKIM, "signed by "}, {e.SPF, "whose SPF passes for "},
		{e.ListID, "of the list "}, {e.Author, "with a From address in "}} {
		if k.value != "" {
			parts = append(parts, k.text+k.value)
		}
	}
	return strings.Join(parts, ", ")
}
