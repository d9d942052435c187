// Package smtpreply writes SMTP replies that no outside text can break (RFC 5321 §4.2).
package smtpreply

import (
	"errors"
	"fmt"
	"strings"
)

// MaxLine is the most octets of a reply line, CRLF included (RFC 5321 §4.5.3.1.5).
const MaxLine = 512

// Clean makes outside text fit for one reply line: every octet that is not printable
// ASCII becomes "?", and what is longer than most octets is cut and ends in "...".
func Clean(text string, most int) string {
	cut := len(text) > most
	if cut {
		text = text[:max(most-3, 0)]
	}
	b := []byte(text)
	for i, c := range b {
		if c < 0x20 || c > 0x7e {
			b[i] = '?'
		}
	}
	if cut {
		return string(b) + "..."[:min(3, most)]
	}
	return string(b)
}

// ErrCode reports a reply or enhanced code that no MTA would take.
var ErrCode = errors.New("smtpreply: the codes must be 4yz or 5yz, with an enhanced code of the same class")

// Format writes a reply of several lines with CRLF between and after them, each line with both
// codes (RFC 2034 §4).
func Format(code int, enhanced string, lines []string) (string, error) {
	if err := checkCodes(code, enhanced); err != nil {
		return "", err
	}
	return strings.Join(format(code, enhanced, lines), "\r\n") + "\r\n", nil
}

// Milter writes the same as the milter protocol wants it: CRLF between the lines, none at
// the end, each "%" doubled, since the MTA takes one away.
func Milter(code int, enhanced string, lines []string) (string, error) {
	if err := checkCodes(code, enhanced); err != nil {
		return "", err
	}
	doubled := make([]string, len(lines))
	for i, l := range lines {
		doubled[i] = strings.ReplaceAll(Clean(l, MaxLine/2-20), "%", "%%")
	}
	return strings.Join(format(code, enhanced, doubled), "\r\n"), nil
}

func checkCodes(code int, enhanced string) error {
	if code < 400 || code > 599 || len(enhanced) < 5 || enhanced[0] != byte('0'+code/100) || enhanced[1] != '.' {
		return ErrCode
	}
	for i := range len(enhanced) {
		if c := enhanced[i]; c != '.' && (c < '0' || c > '9') {
			return ErrCode
		}
	}
	return nil
}

func format(code int, enhanced string, lines []string) []string {
	if len(lines) == 0 {
		lines = []string{"Refused"}
	}
	all := make([]string, len(lines))
	for i, l := range lines {
		separator := "-"
		if i == len(lines)-1 {
			separator = " "
		}
		prefix := fmt.Sprintf("%d%s%s ", code, separator, enhanced)
		all[i] = prefix + Clean(l, MaxLine-2-len(prefix))
	}
	return all
}
