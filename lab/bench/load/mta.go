package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"postseal/lab/bench/corpus"
	"postseal/message"
)

// letter is a message as an MTA gives it to a milter.
type letter struct {
	*corpus.Mail
	fields [][2]string
	body   []byte
}

func split(m *corpus.Mail) *letter {
	l := &letter{Mail: m}
	if err := message.Stream((*letterSink)(l), bytes.NewReader(m.Text), message.Limits{}); err != nil {
		panic(err) // a message of ours
	}
	return l
}

type letterSink letter

func (l *letterSink) Field(f message.Field) error {
	l.fields = append(l.fields, [2]string{string(f.Name()), string(f.Value())})
	return nil
}

func (l *letterSink) EndHeader() error { return nil }

func (l *letterSink) Write(p []byte) (int, error) {
	l.body = append(l.body, p...)
	return len(p), nil
}

// mta is the milter client of Postfix: it offers version 6 with all actions and steps, writes
// through a buffer, and empties that only when it must wait for an answer.
type mta struct {
	conn net.Conn
	r    *bufio.Reader
	w    *bufio.Writer

	octets bool // each octet of the body is a packet of its own
}

const (
	offered   = "\x00\x00\x00\x06\x00\x00\x01\xff\x00\x1f\xff\xff"
	bodyChunk = 65535
	patience  = time.Minute
)

func dialMTA(socket string) (*mta, error) {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Now().Add(patience))
	m := &mta{conn: conn, r: bufio.NewReader(conn), w: bufio.NewWriterSize(conn, 96<<10)}
	m.send('O', offered)
	c, terms, err := m.reply()
	const silent = 0x80 | 0x1000 | 0x2000 | 0x4000 | 0x8000 | 0x10000 | 0x40000 | 0x80000
	if err == nil && (c != 'O' || len(terms) < 12 || binary.BigEndian.Uint32(terms[8:])&silent != silent) {
		err = errors.New("the milter wants to answer before the end of a message")
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return m, nil
}

func (m *mta) send(command byte, data string) {
	var head [5]byte
	binary.BigEndian.PutUint32(head[:], uint32(len(data)+1))
	head[4] = command
	m.w.Write(head[:])
	m.w.WriteString(data)
}

// macros goes before the command that they are for.
func (m *mta) macros(command byte, pairs ...string) {
	m.send('D', string(command)+strings.Join(pairs, "\x00")+"\x00")
}

func (m *mta) reply() (command byte, data []byte, err error) {
	if err := m.w.Flush(); err != nil {
		return 0, nil, err
	}
	var head [5]byte
	if _, err := io.ReadFull(m.r, head[:]); err != nil {
		return 0, nil, err
	}
	data = make([]byte, binary.BigEndian.Uint32(head[:])-1)
	_, err = io.ReadFull(m.r, data)
	return head[4], data, err
}

// connect describes the client.
func (m *mta) connect(l *letter) {
	m.macros('C', "j", "mx.example.net", "{daemon_name}", "smtp", "{client_addr}", l.Client.String(), "{client_port}", "43210")
	family, address := "4", l.Client.String()
	if l.Client.Is6() {
		family, address = "6", "IPv6:"+address
	}
	m.send('C', l.Helo+"\x00"+family+"\xa8\xca"+address+"\x00")
	m.send('H', l.Helo+"\x00")
}

// sendMessage sends a message and returns the Authentication-Results field that is added.
func (m *mta) sendMessage(l *letter) (results string, err error) {
	m.connect(l)
	m.macros('M', "i", "4cXk2")
	m.send('M', "<"+l.ReversePath+">\x00")
	m.macros('R', "i", "4cXk2")
	m.send('R', "<b@example.net>\x00")
	m.macros('T', "i", "4cXk2")
	m.send('T', "")
	for _, f := range l.fields {
		m.macros('L', "i", "4cXk2")
		m.send('L', f[0]+"\x00"+f[1]+"\x00")
	}
	m.macros('N', "i", "4cXk2")
	m.send('N', "")
	for body := l.body; len(body) > 0; {
		n := min(bodyChunk, len(body))
		if m.octets {
			n = 1
		}
		m.send('B', string(body[:n]))
		body = body[n:]
	}
	m.macros('E', "i", "4cXk2")
	m.send('E', "")
	for {
		c, data, err := m.reply()
		switch {
		case err != nil:
			return "", err
		case c == 'i' && bytes.HasPrefix(data[4:], []byte("Authentication-Results\x00")):
			results = string(data[4+len("Authentication-Results\x00"):])
		case c == 'i', c == 'p', c == 'm':
		case c == 'c', c == 'a':
			return results, nil
		default:
			return "", fmt.Errorf("the milter ends with %q %q", c, data)
		}
	}
}

func (m *mta) quit() {
	m.send('Q', "")
	m.w.Flush()
	m.conn.Close()
}

// check compares results with what is known of the message.
func check(l *letter, results string) error {
	for _, want := range []string{"spf=" + l.SPF, "dkim=" + l.DKIM, "dmarc=" + l.DMARC} {
		if !strings.Contains(results, want) {
			return fmt.Errorf("the verdict of a message of %s from %v is %q, want %s", l.ReversePath, l.Client, results, want)
		}
	}
	return nil
}
