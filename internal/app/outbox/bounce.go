package outbox

import (
	"bytes"
	"context"
	"strings"
	"time"

	"postseal/store"
)

// maxBounce is how much of a bounce is looked at.
const maxBounce = 256 << 10

// ReadBounce reads a mail that came to the envelope sender of a report: a delivery status
// notification that says that it failed for good ends the delivery (RFC 3464 §2.3.3). One about
// a delay, and an automatic answer, say nothing. It reports whether the mail was such a notice.
func ReadBounce(ctx context.Context, db store.Outbox, who Who, recipients []string, mail []byte, now time.Time) (bool, error) {
	why, failed := failedStatus(mail[:min(len(mail), maxBounce)])
	if !failed {
		return false, nil
	}
	for _, address := range recipients {
		token, ok := who.Token(address)
		if !ok {
			continue
		}
		if known, err := Bounced(ctx, db, token, why, now); known || err != nil {
			return known, err
		}
	}
	return false, nil
}

// failedStatus finds the fields of a delivery status notification that say that the mail failed,
// and what the other server said.
func failedStatus(mail []byte) (why string, failed bool) {
	status := false
	for line := range bytes.Lines(mail) {
		name, value, ok := strings.Cut(strings.TrimSpace(string(line)), ":")
		if !ok {
			continue
		}
		value = strings.TrimSpace(value)
		switch strings.ToLower(name) {
		case "content-type":
			status = status || strings.HasPrefix(strings.ToLower(value), "message/delivery-status")
		case "action":
			failed = failed || status && strings.EqualFold(value, "failed")
		case "diagnostic-code":
			if status && why == "" {
				why = value
			}
		}
	}
	return "returned: " + why, failed
}
