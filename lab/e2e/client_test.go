//go:build e2e

package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// mail is what a client sends: envelope, and message with CRLF line endings.
type mail struct {
	ip   string // of the client, by XCLIENT
	name string // its verified name, "" is unknown
	helo string
	from string
	rcpt string
	utf8 bool
	text string
}

// reply is the server's last word.
type reply struct {
	stage string // the command that it answers: MAIL, RCPT, DATA, "." …
	code  int
	text  string // lines, joined by LF
}

// deliver speaks SMTP octet for octet, without swaks between.
func deliver(port int, m mail) (reply, error) {
	conn, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", port), 10*time.Second)
	if err != nil {
		return reply{}, err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(2 * time.Minute))
	c := &client{text: textproto.NewConn(conn)}
	return c.deliver(m)
}

type client struct{ text *textproto.Conn }

// say sends one command, if there is one, and reads the reply.
func (c *client) say(stage, command string) (reply, error) {
	if command != "" {
		if err := c.text.PrintfLine("%s", command); err != nil {
			return reply{stage: stage}, err
		}
	}
	code, text, err := c.text.ReadResponse(0)
	var protocol *textproto.Error
	if errors.As(err, &protocol) {
		err = nil
	}
	return reply{stage, code, text}, err
}

func (c *client) deliver(m mail) (reply, error) {
	name, options := m.name, ""
	if name == "" {
		name = "[UNAVAILABLE]"
	}
	if m.utf8 {
		options = " SMTPUTF8 BODY=8BITMIME"
	}
	commands := []struct{ stage, line string }{
		{"connect", ""},
		{"EHLO", "EHLO probe.test"},
		{"XCLIENT", "XCLIENT ADDR=" + m.ip + " NAME=" + name},
		{"EHLO", "EHLO " + m.helo},
		{"MAIL", "MAIL FROM:<" + m.from + ">" + options},
		{"RCPT", "RCPT TO:<" + m.rcpt + ">"},
		{"DATA", "DATA"},
	}
	if m.ip == "" {
		commands = append(commands[:2], commands[3:]...)
	}
	for _, command := range commands {
		r, err := c.say(command.stage, command.line)
		if err != nil || r.code >= 400 {
			return r, err
		}
	}
	stuffed := strings.ReplaceAll("\r\n"+m.text, "\r\n.", "\r\n..")[2:]
	if _, err := c.text.W.WriteString(stuffed + ".\r\n"); err != nil {
		return reply{stage: "."}, err
	}
	if err := c.text.W.Flush(); err != nil {
		return reply{stage: "."}, err
	}
	r, err := c.say(".", "")
	if err == nil {
		c.text.PrintfLine("QUIT")
	}
	return r, err
}

// swaks sends m with swaks and returns what it prints.
func swaks(t *testing.T, port int, m mail) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "message")
	writeFile(t, file, m.text)
	name := m.name
	if name == "" {
		name = "[UNAVAILABLE]"
	}
	args := []string{"--server", "127.0.0.1", "--port", fmt.Sprint(port), "--xclient", "ADDR=" + m.ip + " NAME=" + name,
		"--helo", m.helo, "--from", m.from, "--to", m.rcpt, "--data", "@" + file, "--timeout", "90"}
	out, err := exec.Command("swaks", args...).CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return string(bytes.ReplaceAll(out, []byte("\r"), nil))
}
