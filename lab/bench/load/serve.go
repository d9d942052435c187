package main

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"time"

	gomilter "github.com/d--j/go-milter"

	"postseal/internal/app/conf"
	"postseal/resolver"
	"postseal/resolver/dnstest"
	"postseal/server/listener"
	"postseal/server/milter"
	"postseal/server/policy"
)

// be serves until the parent goes.
func be(what, zone string) error {
	kind, socket, _ := strings.Cut(what, "=")
	l, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	serve, err := server(kind, zone)
	if err != nil {
		return err
	}
	go serve(l)
	return answerUsage()
}

func server(kind, zone string) (func(net.Listener) error, error) {
	switch kind {
	case "milter-bare":
		return bareMilter().Serve, nil
	case "policy-bare":
		return barePolicy, nil
	}
	e, err := engine(zone)
	if err != nil {
		return nil, err
	}
	if kind == "policy-postseal" {
		return policy.New(e).Server(0).Serve, nil
	}
	return milter.New(e, 20000).Serve, nil
}

func engine(zone string) (*listener.Engine, error) {
	text, err := os.ReadFile(zone)
	if err != nil {
		return nil, err
	}
	records, err := dnstest.Parse(string(text))
	if err != nil {
		return nil, err
	}
	c, _, err := conf.Parse("load", []byte("authserv_id = 'mx.example.net'\n"), time.Now())
	if err != nil {
		return nil, err
	}
	config, _ := c.Engine()
	config.Resolver = resolver.NewCache(records, resolver.CacheOptions{MinTTL: time.Hour})
	s, err := listener.NewSnapshot(c, config)
	if err != nil {
		return nil, err
	}
	return listener.NewEngine(s, listener.NewLogger(io.Discard, listener.LogJournal, slog.LevelInfo), listener.NewMetrics("load")), nil
}

// bareMilter takes everything, looks at nothing and says so once, at the end.
func bareMilter() *gomilter.Server {
	return gomilter.NewServer(gomilter.WithProtocols(gomilter.OptNoReplies),
		gomilter.WithMilter(func() gomilter.Milter { return gomilter.NoOpMilter{} }))
}

// barePolicy answers each request with DUNNO.
func barePolicy(l net.Listener) error {
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer conn.Close()
			lines := bufio.NewScanner(conn)
			for lines.Scan() {
				if lines.Text() == "" {
					fmt.Fprint(conn, "action=DUNNO\n\n")
				}
			}
		}()
	}
}
