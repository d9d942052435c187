package smtpreply

// Replies that say nothing of the message. Each is the text of its lines.
var (
	// InternalError belongs to 451 4.3.0.
	InternalError = []string{"Not accepted yet: this mail server had an internal error.", retry}
	// LowMemory belongs to 451 4.3.2.
	LowMemory = []string{"Not accepted yet: this mail server is low on memory.", retry}
)

const retry = "Sender: no action is needed, your mail server will try again."

// BareLineEnding is the reply to a line that does not end in CRLF; which is "bare CR" or
// "bare LF" (RFC 5321 §2.3.8).
func BareLineEnding(what, which string) []string {
	return []string{"Rejected: " + what + " contains a " + which + ". SMTP lines must end in CRLF (RFC 5321 section 2.3.8).",
		"Sender: your mail software needs an update; forward this notice to its administrator."}
}
