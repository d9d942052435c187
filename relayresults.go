package postseal

import (
	"slices"
	"strings"

	"postseal/authres"
	"postseal/domain"
)

// aboveRelay returns the index of the Received field in which the last of our relays names the client:
// every field above it was added by our relays, and those below may be the client's. It is 0 if no
// relay forwarded the message.
func aboveRelay(r *Report) int {
	if r.Conn.Relays == 0 {
		return 0
	}
	received := 0
	for i := range r.Header.Len() {
		if !r.Header.At(i).Is("Received") {
			continue
		}
		if received++; received == r.Conn.Relays {
			return i
		}
	}
	return 0
}

// isRelayResult reports whether field i of the header has results of the relay that forwarded the
// message. end is aboveRelay.
func isRelayResult(r *Report, i, end int) bool {
	if r.Conn.Results == "" || i >= end || !r.Header.At(i).Is("Authentication-Results") {
		return false
	}
	field, err := authres.Parse(r.Header.At(i).Value())
	return err == nil && field.Version <= 1 && strings.EqualFold(field.AuthservID, r.Conn.Results)
}

// relayPass reports whether the relay that forwarded the message has seen every author of it pass
// DMARC. A relay with a result of DMARC for an author decides by it; without one, a passing
// signature or SPF of exactly the author's domain counts.
func relayPass(r *Report) (comment string, ok bool) {
	if r.Conn.Results == "" || len(r.Author.Domains) == 0 {
		return "", false
	}
	all := authres.Field{AuthservID: r.Conn.Results}
	end := aboveRelay(r)
	for i := range end {
		if isRelayResult(r, i, end) {
			field, _ := authres.Parse(r.Header.At(i).Value())
			all.Results = append(all.Results, field.Results...)
		}
	}
	words := []string{"results of the relay " + r.Conn.Results + ":"}
	for _, author := range r.Author.Domains {
		why := vouched(&all, author)
		if why == "" {
			return "", false
		}
		words = append(words, why+"="+string(author))
	}
	return strings.Join(words, " "), true
}

// vouched names the result of f that lets an author pass, "" without one.
func vouched(f *authres.Field, author domain.Name) string {
	if slices.ContainsFunc(f.Results, func(r authres.Result) bool { return r.Method == "dmarc" && isAbout(&r, author) }) {
		if passed(f, author) {
			return "dmarc=pass header.from"
		}
		return ""
	}
	for _, r := range f.Results {
		for _, p := range r.Properties {
			property := p.Type + "." + p.Name
			identity := r.Method == "dkim" && property == "header.d" || r.Method == "spf" && property == "smtp.mailfrom"
			if name, err := domain.Parse(p.Value[strings.LastIndexByte(p.Value, '@')+1:]); identity && r.Value == "pass" && err == nil && name == author {
				return r.Method + "=pass " + property
			}
		}
	}
	return ""
}
