package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"

	"postseal/internal/app/cli"
)

// The servers that this program can be: ours, with one listener or two, and one that only speaks
// the protocol.
const (
	bareMilter = "milter-bare"
	barePolicy = "policy-bare"
	ours       = "postseal"
	oursBoth   = "postseal+policy"
)

// be serves at a socket below dir until the process is ended.
func be(kind, dir string) error {
	switch kind {
	case ours, oursBoth:
		profileOnSignal(dir)
		os.Setenv("STATE_DIRECTORY", dir+"/state")
		os.Exit(cli.Main([]string{"serve", "--config", configFile(dir)}, os.Stdin, os.Stdout, os.Stderr))
	}
	l, err := net.Listen("unix", socketOf(dir, strings.HasPrefix(kind, "policy")))
	if err != nil {
		return err
	}
	serve := serveBareMilter
	if kind == barePolicy {
		serve = serveBarePolicy
	}
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer conn.Close()
			serve(conn)
		}()
	}
}

// serveBareMilter takes everything, looks at nothing and says so once, at the end.
func serveBareMilter(conn net.Conn) {
	r := bufio.NewReaderSize(conn, 64<<10)
	for {
		var head [5]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return
		}
		if _, err := r.Discard(int(binary.BigEndian.Uint32(head[:])) - 1); err != nil {
			return
		}
		switch head[4] {
		case 'O':
			io.WriteString(conn, "\x00\x00\x00\x0dO\x00\x00\x00\x06\x00\x00\x00\x11\x00\x1d\xf0\x80")
		case 'E':
			io.WriteString(conn, "\x00\x00\x00\x01a")
		case 'Q':
			return
		}
	}
}

// serveBarePolicy answers each request with DUNNO.
func serveBarePolicy(conn net.Conn) {
	lines := bufio.NewScanner(conn)
	for lines.Scan() {
		if lines.Text() == "" {
			fmt.Fprint(conn, "action=DUNNO\n\n")
		}
	}
}

// writeConfig configures ours as its packages do, but without the history, whose cost is measured
// by itself (make bench).
func writeConfig(kind, dir, dns string) error {
	policy := ""
	if kind == oursBoth {
		policy = "unix:" + socketOf(dir, true)
	}
	return os.WriteFile(configFile(dir), fmt.Appendf(nil, "authserv_id = 'mx.example.net'\nenforce = 'observe'\n[listen]\nmilter = 'unix:%s'\npolicy = '%s'\nhttp = ''\n"+
		"[dns]\nservers = ['%s']\n[store]\nurl = 'none'\n[bundles]\ndir = '%s/bundles'\n[limits]\nconnections = 20000\n", socketOf(dir, false), policy, dns, dir), 0o600)
}

func configFile(dir string) string { return dir + "/postseal.toml" }

func socketOf(dir string, policy bool) string {
	if policy {
		return dir + "/p"
	}
	return dir + "/s"
}

var errNotStarted = errors.New("it does not start")
