package repair

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
)

var (
	mailScheme = regexp.MustCompile(`(?i)^m(?:ail|ali|al|ial)\s*-?to\s*[:;=]+\s*/*`)
	uriSize    = regexp.MustCompile(`![0-9]+[kmgtKMGT]?[bB]?$`)
	uriBreak   = regexp.MustCompile(`[;,\s|]+`)
	spacedMail = regexp.MustCompile(`(?i)(mail\s*to)\s*[:;=]\s*`)
)

// uris reads the report destinations in a tag, however they are separated.
func uris(value string) ([]string, error) {
	value = spacedMail.ReplaceAllString(value, " mailto:")
	var list []string
	for _, part := range uriBreak.Split(value, -1) {
		part = strings.Trim(part, "<>()[]")
		if part == "" {
			continue
		}
		u, err := destination(part)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(list, u) {
			list = append(list, u)
		}
	}
	return list, nil
}

// destination returns the URI that one address or URL was meant to be.
func destination(s string) (string, error) {
	s = uriSize.ReplaceAllString(s, "")
	if lower := strings.ToLower(s); strings.HasPrefix(lower, "https://") {
		u, err := url.Parse(s)
		if err != nil || hostName(u.Hostname()) == "" || !printable(s) || strings.ContainsAny(s, ",!;") {
			return "", unclear(s, "is not a URL")
		}
		return s, nil
	}
	address := s
	if at := mailScheme.FindStringIndex(s); at != nil {
		address = s[at[1]:]
	}
	address, query, _ := strings.Cut(strings.Trim(address, "<>/:"), "?")
	at := strings.LastIndexByte(address, '@')
	if at < 1 {
		return "", unclear(s, "is not an address")
	}
	local, host := address[:at], hostName(address[at+1:])
	if host == "" || strings.ContainsAny(local, "@!,;: <>()[]") || !printable(local) || !printable(query) {
		return "", unclear(s, "is not an address")
	}
	if query != "" {
		host += "?" + query
	}
	return "mailto:" + local + "@" + host, nil
}
