package proxy

import (
	"bufio"
	"errors"
	"slices"
	"strconv"
	"strings"

	"postseal/internal/core/smtpreply"
	"postseal/server/listener"
)

// reply is an SMTP reply (RFC 5321 §4.2): the text of each line without its code.
type reply struct {
	code  int
	lines []string
}

// say builds one of our own replies with an enhanced code (RFC 3463), "" for none.
func say(code int, enhanced string, texts ...string) reply {
	lines := slices.Clone(texts)
	for i := range lines {
		if enhanced != "" {
			lines[i] = enhanced + " " + lines[i]
		}
	}
	return reply{code, lines}
}

// deferMail is the reply while memory is low; 421 ends the session.
func deferMail(code int) reply {
	r := listener.LowMemoryReply()
	return say(code, r.Enhanced, r.Lines...)
}

func (r reply) positive() bool { return r.code/100 == 2 }
func (r reply) negative() bool { return r.code/100 == 4 || r.code/100 == 5 }

// write writes r as lines that untrusted text cannot break. An error is only reported by the
// flush.
func (r reply) write(w *bufio.Writer) {
	code := strconv.Itoa(r.code)
	for i, text := range r.lines {
		separator := byte('-')
		if i == len(r.lines)-1 {
			separator = ' '
		}
		w.WriteString(code)
		w.WriteByte(separator)
		w.WriteString(smtpreply.Clean(text, smtpreply.MaxLine-len("250 \r\n")))
		w.WriteString("\r\n")
	}
}

// maxReplyLines limits a reply of the next hop.
const maxReplyLines = 200

var errReply = errors.New("the next hop's reply is not an SMTP reply (RFC 5321 §4.2)")

// readReply reads a reply of the next hop.
func readReply(r *bufio.Reader) (reply, error) {
	var got reply
	for len(got.lines) < maxReplyLines {
		line, err := readLine(r)
		if err != nil {
			return reply{}, err
		}
		code, text, last, ok := parseReplyLine(line)
		if !ok || len(got.lines) > 0 && code != got.code {
			return reply{}, errReply
		}
		got.code = code
		got.lines = append(got.lines, text)
		if last {
			return got, nil
		}
	}
	return reply{}, errReply
}

func parseReplyLine(line string) (code int, text string, last, ok bool) {
	if len(line) < 3 {
		return 0, "", false, false
	}
	for i := range 3 {
		if line[i] < '0' || line[i] > '9' {
			return 0, "", false, false
		}
		code = code*10 + int(line[i]-'0')
	}
	if code < 200 || code > 599 {
		return 0, "", false, false
	}
	if len(line) == 3 {
		return code, "", true, true
	}
	return code, line[4:], line[3] == ' ', line[3] == ' ' || line[3] == '-'
}

// String returns r in one line, for the log.
func (r reply) String() string {
	return smtpreply.Clean(strconv.Itoa(r.code)+" "+strings.Join(r.lines, " / "), 200)
}
