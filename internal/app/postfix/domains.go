package postfix

import (
	"context"
	"slices"
	"strings"

	"postseal/domain"
)

// Domains returns the domains that Postfix receives mail for, without lookup tables: those of mydestination,
// virtual_mailbox_domains, virtual_alias_domains and relay_domains. The name of the host itself comes last. dir
// is the configuration directory, "" the default one.
func Domains(ctx context.Context, dir string) ([]string, error) {
	names := []string{"mydestination", "virtual_mailbox_domains", "virtual_alias_domains", "relay_domains"}
	values, err := parameters(ctx, dir, true, append(names, "myhostname")...)
	if err != nil {
		return nil, err
	}
	var list []string
	host := ""
	for _, name := range names {
		for text := range strings.FieldsFuncSeq(values[name], func(r rune) bool { return r == ',' || r == ' ' || r == '\t' }) {
			d, ok := mailDomain(text)
			switch {
			case !ok || slices.Contains(list, d):
			case strings.EqualFold(text, values["myhostname"]):
				host = d
			default:
				list = append(list, d)
			}
		}
	}
	if host != "" {
		list = append(list, host)
	}
	return list, nil
}

// mailDomain returns the domain of an item of a list. ok is false for a table ("hash:/etc/postfix/…"), a file, a
// parent ("." in front), what is excluded ("!"), and names that only this host knows.
func mailDomain(text string) (d string, ok bool) {
	if strings.ContainsAny(text, ":/!*$") || strings.HasPrefix(text, ".") {
		return "", false
	}
	name, err := domain.Parse(text)
	if err != nil || !strings.Contains(string(name), ".") {
		return "", false
	}
	d = string(name)
	for _, own := range []string{"localhost.", "localdomain."} {
		if strings.HasPrefix(d, own) {
			return "", false
		}
	}
	for _, own := range []string{".localdomain", ".localhost", ".local", ".lan", ".internal"} {
		if strings.HasSuffix(d, own) {
			return "", false
		}
	}
	return d, true
}
