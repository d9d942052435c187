package reason

import "strings"

// signals are the words of a postseal.Signal.
var signals = map[string]string{
	"list-id":             "List-Id of the intermediary",
	"list-post":           "List-Post present",
	"precedence":          "Precedence: list",
	"resent":              "Resent fields of the intermediary",
	"sender":              "Sender of the intermediary",
	"calendar":            "calendar message",
	"received":            "several foreign Received",
	"broken-signature":    "broken aligned signature",
	"arc-pass":            "ARC chain passes",
	"spf-fail":            "SPF fail of the author's own domain",
	"no-signature":        "no signature of the author's organization",
	"no-such-domain":      "the author domain does not exist",
	"iprev-fail":          "reverse DNS of the client does not match",
	"null-mx":             "the author domain takes no mail: null MX",
	"neither-mx-nor-host": "the author domain takes no mail: neither MX nor address",
	"protected":           "protected domain",
}

// Signal is the text for a postseal.Signal; the word itself for one that is not known.
func Signal[T ~string](s T) string {
	if text, ok := signals[string(s)]; ok {
		return text
	}
	return string(s)
}

// Signals is the text for several, separated by commas.
func Signals[T ~string](list []T) string {
	texts := make([]string, len(list))
	for i, s := range list {
		texts[i] = Signal(s)
	}
	return strings.Join(texts, ", ")
}
