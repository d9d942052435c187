package conf

import (
	"fmt"
	"regexp"
	"time"
)

var (
	setsReceivedSPF = regexp.MustCompile(`(?m)^[ \t]*(policy[ \t]*\.[ \t]*)?received_spf[ \t]*=`)
	policyTable     = regexp.MustCompile(`(?m)^[ \t]*\[[ \t]*policy[ \t]*\][^\n]*\n?`)
)

// WithReceivedSPF adds [policy] received_spf to the text of a configuration. ok is false if it has
// that value anyway, if the operator chose one, or if the table is not written as [policy].
func WithReceivedSPF(text []byte, value bool) (with []byte, ok bool) {
	if c, _, err := Parse("", text, time.Now()); err != nil || c.Policy.ReceivedSPF == value || setsReceivedSPF.Match(text) {
		return nil, false
	}
	at, key := len(text), fmt.Sprintf("received_spf = %t\n", value)
	if header := policyTable.FindIndex(text); header != nil {
		at = header[1]
	} else {
		key = "\n[policy]\n" + key
	}
	if at > 0 && text[at-1] != '\n' {
		key = "\n" + key
	}
	with = append(append(append([]byte(nil), text[:at]...), key...), text[at:]...)
	c, _, err := Parse("", with, time.Now())
	return with, err == nil && c.Policy.ReceivedSPF == value
}
