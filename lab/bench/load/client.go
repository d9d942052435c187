package main

import (
	"bufio"
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/d--j/go-milter"

	"postseal/lab/bench/corpus"
	"postseal/message"
)

// mail is one message, its header section split as an MTA does.
type mail struct {
	fields [][2]string
	body   []byte
}

// shares is the mixed corpus: how many of 10,000 messages have which size; 3 KB to 10 MB,
// mean 59 KB.
var shares = []struct{ bytes, of10000 int }{{3 << 10, 6000}, {12 << 10, 2781}, {60 << 10, 900}, {500 << 10, 260}, {3 << 20, 35}, {10 << 20, 24}}

// letters makes the messages of a run, of the seed alone.
func letters(r run) []*mail {
	made := map[int]*mail{}
	of := func(size int) *mail {
		if made[size] == nil {
			made[size] = split(corpus.Message(corpus.Shape{Algorithm: "rsa", Canonical: "relaxed", Bytes: size, Signed: 1}))
		}
		return made[size]
	}
	all := make([]*mail, 0, r.messages)
	switch r.corpus {
	case "mixed":
		for _, s := range shares {
			for range (s.of10000*r.messages + 5000) / 10000 {
				all = append(all, of(s.bytes))
			}
		}
	case "10MB":
		for range r.messages {
			all = append(all, of(10<<20))
		}
	default:
		for range r.messages {
			all = append(all, of(3<<10))
		}
	}
	rand.New(rand.NewPCG(r.seed, 0)).Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

func split(text []byte) *mail {
	m := &mail{}
	if err := message.Stream((*mailSink)(m), bytes.NewReader(text), message.Limits{}); err != nil {
		panic(err) // a message of ours
	}
	return m
}

type mailSink mail

func (m *mailSink) Field(f message.Field) error {
	m.fields = append(m.fields, [2]string{string(f.Name()), string(f.Value())})
	return nil
}

func (m *mailSink) EndHeader() error { return nil }

func (m *mailSink) Write(p []byte) (int, error) {
	m.body = append(m.body, p...)
	return len(p), nil
}

// sendMail sends all messages of r over r.conns connections at a time.
func sendMail(r run, c *child) ([]time.Duration, error) {
	client := milter.NewClient("unix", c.socket, milter.WithReadTimeout(time.Minute))
	all := letters(r)
	return spread(r.conns, len(all), func() (func(i int) error, func(), error) {
		return func(i int) error { return sendOne(client, all[i]) }, func() {}, nil
	})
}

// spread does n pieces of work with so many workers, and takes the time of each.
func spread(workers, n int, start func() (do func(i int) error, end func(), err error)) ([]time.Duration, error) {
	took := make([]time.Duration, n)
	var next atomic.Int64
	var group sync.WaitGroup
	errs := make(chan error, workers)
	for range workers {
		group.Go(func() {
			do, end, err := start()
			if err != nil {
				errs <- err
				return
			}
			defer end()
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				began := time.Now()
				if err := do(i); err != nil {
					errs <- err
					return
				}
				took[i] = time.Since(began)
			}
		})
	}
	group.Wait()
	close(errs)
	return took, <-errs
}

func sendOne(client *milter.Client, m *mail) error {
	macros := milter.NewMacroBag()
	macros.Set(milter.MacroQueueId, "4cXk2")
	s, err := client.Session(macros)
	if err != nil {
		return err
	}
	defer s.Close()
	steps := []func() (*milter.Action, error){
		func() (*milter.Action, error) { return s.Conn("out.bulk.test", milter.FamilyInet, 25, "198.51.100.25") },
		func() (*milter.Action, error) { return s.Helo("out.bulk.test") },
		func() (*milter.Action, error) { return s.Mail("bounce@bulk.test", "") },
		func() (*milter.Action, error) { return s.Rcpt("b@example.net", "") },
		s.DataStart,
	}
	for _, f := range m.fields {
		steps = append(steps, func() (*milter.Action, error) { return s.HeaderField(f[0], f[1], nil) })
	}
	for _, step := range append(steps, s.HeaderEnd) {
		a, err := step()
		if err != nil {
			return err
		}
		if a.StopProcessing() {
			return fmt.Errorf("the milter says %v", a)
		}
	}
	_, a, err := s.BodyReadFrom(bytes.NewReader(m.body))
	if err != nil {
		return err
	}
	if a.StopProcessing() {
		return fmt.Errorf("the milter ends with %v", a)
	}
	return nil
}

// openSessions opens n sessions that have got as far as HELO.
func openSessions(c *child, n int) (end func(), err error) {
	client := milter.NewClient("unix", c.socket)
	open := make([]*milter.ClientSession, 0, n)
	end = func() {
		for _, s := range open {
			s.Close()
		}
	}
	for range n {
		s, err := client.Session(nil)
		if err != nil {
			end()
			return nil, err
		}
		open = append(open, s)
		if _, err := s.Conn("out.bulk.test", milter.FamilyInet, 25, "198.51.100.25"); err != nil {
			end()
			return nil, err
		}
	}
	return end, nil
}

// askPolicy asks as Postfix does, over connections that stay.
func askPolicy(r run, c *child) ([]time.Duration, error) {
	return spread(r.conns, r.messages, func() (func(int) error, func(), error) {
		conn, err := net.Dial("unix", c.socket)
		if err != nil {
			return nil, nil, err
		}
		answers := bufio.NewReader(conn)
		ask := func(i int) error {
			if _, err := fmt.Fprintf(conn, "request=smtpd_access_policy\nprotocol_state=RCPT\nprotocol_name=ESMTP\nclient_address=198.51.100.25\n"+
				"client_name=out.bulk.test\nhelo_name=out.bulk.test\nsender=bounce@bulk.test\nrecipient=b@example.net\nrecipient_count=0\nqueue_id=\n"+
				"instance=%x.%d.%d.0\nsize=3000\n\n", i, r.messages, i); err != nil {
				return err
			}
			for line := ""; line != "\n"; {
				if line, err = answers.ReadString('\n'); err != nil {
					return err
				}
			}
			return nil
		}
		return ask, func() { conn.Close() }, nil
	})
}
