package bundle

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"postseal/authres"
	"postseal/domain"
	"postseal/internal/core/tagvalue"
	"postseal/message"
)

// results stands for an Authentication-Results or Received-SPF field of which a verdict depends on
// one fact: whether it claims to be ours, or cannot be read, and is removed (RFC 8601 §5).
func (x *redaction) results(f message.Field) string {
	removed := authres.Forged(f, x.ids)
	kept := authres.Field{AuthservID: omitted}
	if read, err := authres.Parse(f.Value()); err == nil {
		kept = redactResults(read)
	}
	candidates := []string{kept.Value(), (&authres.Field{AuthservID: omitted}).Value(), (&authres.Field{AuthservID: x.ids[0]}).Value()}
	if f.Is("Received-SPF") {
		candidates = []string{" " + omitted, " " + omitted + " receiver=" + x.ids[0]}
	}
	for _, value := range append(candidates, " (") { // the last cannot be read
		raw := slices.Concat(f.Name(), []byte(":"+value))
		if as, ok := message.ParseField(raw); ok && authres.Forged(as, x.ids) == removed {
			return value
		}
	}
	return " " + omitted
}

// redactSealed stands for an ARC-Authentication-Results field: its instance, and what it says (RFC
// 8617 §4.1.1).
func redactSealed(f message.Field) string {
	instance, payload, ok := tagvalue.SealedResults(f.Value())
	if !ok {
		return " " + omitted // the chain fails
	}
	number := strconv.Itoa(instance)
	read, err := authres.Parse(payload)
	if err != nil {
		return " i=" + number + "; ("
	}
	kept := redactResults(read)
	return " i=" + number + ";" + kept.Value()
}

// redactResults keeps the methods and words of the registry (RFC 8601 §6.7), and of the properties
// those whose values are domains, addresses of hosts, or words.
func redactResults(read authres.Field) authres.Field {
	kept := authres.Field{AuthservID: read.AuthservID, Version: read.Version}
	if _, err := domain.Parse(read.AuthservID); err != nil {
		kept.AuthservID = omitted
	}
	for _, r := range read.Results {
		if !slices.Contains(methods, r.Method) {
			continue
		}
		result := authres.Result{Method: r.Method, Version: r.Version, Value: r.Value}
		if !slices.Contains(resultWords, r.Value) {
			result.Value = omitted
		}
		for _, p := range r.Properties {
			if form := properties[p.Type+"."+p.Name]; form != nil {
				result.Properties = append(result.Properties, authres.Property{Type: p.Type, Name: p.Name, Value: form(p.Value)})
			}
		}
		kept.Results = append(kept.Results, result)
	}
	return kept
}

var methods = []string{"spf", "gateway.spf", "dkim", "dmarc", "arc", "iprev", "auth", "dkim-adsp", "domainkeys", "sender-id", "bimi", "compauth"}

var resultWords = []string{"none", "pass", "fail", "softfail", "neutral", "policy", "temperror", "permerror", "hardfail", "nxdomain", "discard"}

// properties are those whose values stay, each with what stays.
var properties = map[string]func(string) string{
	"header.d": redactDomain, "header.s": redactDomain, "header.a": redactWord, "header.b": redactBase64, "header.from": redactAddress, "header.i": redactAddress,
	"header.oldest-pass": redactNumber, "smtp.mailfrom": redactAddress, "smtp.mail": redactAddress, "smtp.helo": redactAddress,
	"smtp.remote-ip": redactIP, "smtp.client-ip": redactIP, "policy.iprev": redactIP, "policy.dmarc": only("none", "quarantine", "reject"),
}

// redactAddress keeps the domain of an address, with or without local part.
func redactAddress(value string) string {
	at := strings.LastIndexByte(value, '@')
	name := value[at+1:]
	if _, err := domain.Parse(name); err != nil {
		return "(" + omitted + ")"
	}
	switch {
	case at < 0:
		return name
	case at == 0:
		return "@" + name
	}
	return omitted + "@" + name
}

func redactIP(value string) string {
	ip, err := netip.ParseAddr(value)
	if err != nil {
		return omitted
	}
	return ip.WithZone("").String()
}
