package repair

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
)

var (
	stsVersion  = regexp.MustCompile(`(?i)^(?:v\s*[=:]?\s*)?sts\s*v?\s*1?\b`)
	stsID       = regexp.MustCompile(`(?i)\bid\s*[=:]?\s*([a-z0-9][a-z0-9.:_ /+-]*)`)
	rptVersion  = regexp.MustCompile(`(?i)^(?:v\s*[=:]?\s*)?tls-?rpt\s*v?\s*1?\b`)
	rptAddress  = regexp.MustCompile(`(?i)\b(?:rua|rau|ura|ruf|ruaa)\s*[=:]?\s*(.+)$`)
	bimiVersion = regexp.MustCompile(`(?i)^(?:v\s*[=:]?\s*)?bimi\s*v?\s*1?\b`)
	bimiTag     = regexp.MustCompile(`(?i)(?:^|[;,\s])\s*(l|a)\s*[=:]\s*([^;\s]*)`)
)

// STS returns the intended MTA-STS record (RFC 8461 §3.1). Characters that an id may not
// contain are omitted, and the first of several ids counts, because any new id is as good as
// another.
func STS(texts ...string) (string, error) {
	if len(texts) == 0 {
		return "", unclear("", "there is no record")
	}
	text := texts[0]
	clean, ok := Clean(text)
	at := stsVersion.FindStringIndex(clean)
	if !ok || at == nil {
		return "", unclear(text, "does not begin with v=STSv1")
	}
	found := stsID.FindStringSubmatch(clean[at[1]:])
	if found == nil {
		return "", unclear("", "the record has no id")
	}
	id := strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' || r|0x20 >= 'a' && r|0x20 <= 'z' {
			return r
		}
		return -1
	}, found[1])
	return "v=STSv1; id=" + id[:min(len(id), 32)] + ";", nil
}

// TLSRPT returns the TLS-RPT record intended by texts at one name, with every address (RFC 8460 §3).
func TLSRPT(texts ...string) (string, error) {
	var list []string
	for _, text := range texts {
		clean, ok := Clean(text)
		at := rptVersion.FindStringIndex(clean)
		if !ok || at == nil {
			return "", unclear(text, "does not begin with v=TLSRPTv1")
		}
		rest := strings.Trim(clean[at[1]:], " ;,")
		if found := rptAddress.FindStringSubmatch(rest); found != nil {
			rest = found[1]
		}
		more, err := uris(rest)
		if err != nil {
			return "", err
		}
		for _, u := range more {
			if !slices.Contains(list, u) {
				list = append(list, u)
			}
		}
	}
	if len(list) == 0 {
		return "", unclear("", "the record has no address")
	}
	return "v=TLSRPTv1; rua=" + strings.Join(list, ","), nil
}

// BIMI returns the intended assertion record, with both locations
// (draft-brand-indicators-for-message-identification §4.3).
func BIMI(texts ...string) (string, error) {
	if len(texts) != 1 {
		return "", unclear("", "there are several records: which is meant is not clear")
	}
	text := texts[0]
	clean, ok := Clean(text)
	at := bimiVersion.FindStringIndex(clean)
	if !ok || at == nil {
		return "", unclear(text, "does not begin with v=BIMI1")
	}
	values := map[string]string{}
	rest := clean[at[1]:]
	for _, found := range bimiTag.FindAllStringSubmatch(rest, -1) {
		name, value := strings.ToLower(found[1]), strings.TrimRight(found[2], ",")
		if old, twice := values[name]; twice && old != value {
			return "", unclear(name, "occurs twice")
		}
		values[name] = value
		rest = strings.Replace(rest, found[0], "", 1)
	}
	if strings.Contains(rest, "//") {
		return "", unclear(strings.TrimSpace(rest), "is a URL without a tag that says what it is for")
	}
	l, there := values["l"]
	if !there {
		return "", unclear("", "the record has no l=")
	}
	text = "v=BIMI1; l=" + l + ";"
	if a := values["a"]; a != "" {
		text += " a=" + a + ";"
	}
	for _, v := range values {
		if u, err := url.Parse(v); v != "" && (err != nil || u.Scheme != "https" || u.Host == "") || !printable(v) {
			return "", unclear(v, "is not an https URL")
		}
	}
	return text, nil
}
