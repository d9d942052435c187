package postseal

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"postseal/arc"
	"postseal/authres"
	"postseal/domain"
)

// DefaultSealAge is how old a seal may be that overrides a policy: mail servers try to deliver
// a message for up to five days (RFC 5321 §4.5.4.1), and nearly all of it arrives within
// hours. An old message with its seal can be sent again by anyone.
const DefaultSealAge = 72 * time.Hour

// sealSkew is how far in the future a seal may be, as clocks differ.
const sealSkew = 5 * time.Minute

// sealedPass reports whether a trusted sealer has seen every author of the message pass
// DMARC, and tells it in the form of RFC 8617 §7.2.2. The sealer is the oldest of those that
// are trusted without a break: what came to it from others, it has judged itself. A sealer does
// not vouch for a field that was added since (as AddedFields has it of DKIM), nor for a message
// that it sealed longer than age ago, or in the future. A seal without a time has no age.
func sealedPass(r *Report, trusted []string, age time.Duration) (comment string, ok bool) {
	oldest := r.ARC.OldestTrusted(trusted)
	switch {
	case oldest == 0, len(r.Author.Domains) == 0, len(notCovered(r.Header, r.ARC.Signed)) > 0:
		return "", false
	case !r.ARC.SealedAt.IsZero() && !isRecent(r.ARC.SealedAt, r.Time, age):
		return "", false
	}
	field, err := authres.Parse(r.ARC.Results[oldest-1])
	if err != nil {
		return "", false
	}
	for _, author := range r.Author.Domains {
		if !passed(&field, author) {
			return "", false
		}
	}
	return chainComment(&r.ARC), true
}

func isRecent(at, now time.Time, age time.Duration) bool {
	if age <= 0 {
		age = DefaultSealAge
	}
	return now.Sub(at) <= age && at.Sub(now) <= sealSkew
}

// passed reports whether f has dmarc=pass for this author, and no other result of it.
func passed(f *authres.Field, author domain.Name) bool {
	found := false
	for i := range f.Results {
		result := &f.Results[i]
		if result.Method != "dmarc" || !isAbout(result, author) {
			continue
		}
		if result.Value != "pass" {
			return false
		}
		found = true
	}
	return found
}

// isAbout compares header.from, which some write with a local part.
func isAbout(result *authres.Result, author domain.Name) bool {
	for _, p := range result.Properties {
		if p.Type != "header" || p.Name != "from" {
			continue
		}
		name, err := domain.Parse(p.Value[strings.LastIndexByte(p.Value, '@')+1:])
		return err == nil && name == author
	}
	return false
}

// maxCommentSets bounds how many sets a comment names; of a longer chain it names the
// newest ones and the first.
const maxCommentSets = 8

// chainComment is the comment of RFC 8617 §7.2.2: domain and selector of each seal, newest
// first, and the client that instance 1 came from. All words are checked names.
func chainComment(r *arc.Result) string {
	words := []string{"arc=pass"}
	for i, s := range slices.Backward(r.Sealers) {
		if n := i + 1; n == 1 || len(r.Sealers)-n < maxCommentSets-1 {
			words = append(words, fmt.Sprintf("as[%d].d=%s as[%d].s=%s", n, s.Domain, n, s.Selector))
		}
	}
	if ip := firstClient(r); ip.IsValid() {
		words = append(words, "remote-ip[1]="+ip.String())
	}
	return strings.Join(words, " ")
}

// firstClient is the address that the first sealer says the message came from: in
// smtp.remote-ip (RFC 8617 §6) or policy.iprev (RFC 8601 §2.7.3).
func firstClient(r *arc.Result) netip.Addr {
	field, err := authres.Parse(r.Results[0])
	if err != nil {
		return netip.Addr{}
	}
	for _, result := range field.Results {
		for _, p := range result.Properties {
			if p.Type == "smtp" && (p.Name == "remote-ip" || p.Name == "client-ip") || p.Type == "policy" && p.Name == "iprev" {
				if ip, err := netip.ParseAddr(p.Value); err == nil {
					return ip.Unmap().WithZone("")
				}
			}
		}
	}
	return netip.Addr{}
}
