package spf

import (
	"net/netip"
	"strings"

	"postseal/internal/core/spfrecord"
)

// ReceivedSPF is the value of a Received-SPF field (RFC 7208 §9.1, erratum 5436): it
// begins with a space and is folded with CRLF; no value can leave its quotes.
func (r Result) ReceivedSPF(q Request, receiver string) string {
	var f folder
	f.word(string(r.Code))
	f.comment(comment(r, q.IP))
	f.pair("identity", string(r.Identity))
	if q.IP.IsValid() {
		f.pair("client-ip", q.IP.Unmap().String())
	}
	f.pair("envelope-from", q.Sender)
	f.pair("helo", q.Helo)
	if r.Mechanism != "" {
		f.pair("mechanism", r.Mechanism)
	}
	if r.Problem != "" {
		f.pair("problem", r.Problem)
	}
	f.pair("receiver", receiver)
	return strings.TrimSuffix(f.b.String(), ";")
}

func comment(r Result, ip netip.Addr) string {
	text := map[Code]string{
		None:      "no SPF record for " + r.Domain,
		Pass:      r.Domain + " designates " + ip.Unmap().String() + " as permitted sender",
		Fail:      r.Domain + " does not designate " + ip.Unmap().String() + " as permitted sender",
		SoftFail:  r.Domain + " is probably not sent from " + ip.Unmap().String(),
		Neutral:   r.Domain + " says nothing about " + ip.Unmap().String(),
		TempError: "temporary error for " + r.Domain,
		PermError: "permanent error for " + r.Domain,
	}[r.Code]
	return printable(text, "()\\", 200)
}

// printable replaces what is not printable ASCII, or is in bad, by "?".
func printable(s, bad string, most int) string {
	b := []byte(s[:min(len(s), most)])
	for i, c := range b {
		if c < 0x20 || c > 0x7e || strings.IndexByte(bad, c) >= 0 {
			b[i] = '?'
		}
	}
	return string(b)
}

// folder writes words and breaks lines before 78 columns.
type folder struct {
	b      strings.Builder
	column int
}

func (f *folder) word(s string) {
	if f.column == 0 {
		f.column = len("Received-SPF:")
	}
	if f.column+1+len(s) > 77 {
		f.b.WriteString("\r\n\t")
		f.column = 8
	} else {
		f.b.WriteByte(' ')
		f.column++
	}
	f.b.WriteString(s)
	f.column += len(s)
}

// comment writes text in parentheses, which it has none of, and folds it between its words.
func (f *folder) comment(text string) {
	words := strings.Fields(text)
	for i, w := range words {
		if i == 0 {
			w = "(" + w
		}
		if i == len(words)-1 {
			w += ")"
		}
		f.word(w)
	}
}

func (f *folder) pair(key, value string) { f.word(key + "=" + quotedValue(value) + ";") }

// maxValue keeps a line below the 998 octets of RFC 5322 §2.1.1, even if each octet of the
// value needs a backslash.
const maxValue = 400

// quotedValue is a dot-atom where it is one, else a quoted-string.
func quotedValue(s string) string {
	s = printable(s, "", maxValue)
	atom := s != ""
	for i := range len(s) {
		c := s[i]
		atom = atom && (spfrecord.IsAlnum(c) || strings.IndexByte("!#$%&'*+-/=?^_`{|}~", c) >= 0 || c == '.' && i > 0 && i < len(s)-1 && s[i-1] != '.')
	}
	if atom {
		return s
	}
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
	}
	b.WriteByte('"')
	return b.String()
}
