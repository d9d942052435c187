package main

import (
	"bufio"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"postseal/lab/bench/corpus"
)

// sendMail sends n messages of mails, in turn, over so many connections at a time: a new one for
// each message, as Postfix has it for each SMTP session. With checked every verdict is compared
// with what is known of its message.
func sendMail(c *child, mails []*letter, conns, n int, checked bool) ([]time.Duration, error) {
	socket := socketOf(c.dir, false)
	return spread(conns, n, func() (func(i int) error, func(), error) {
		return func(i int) error {
			l := mails[i%len(mails)]
			m, err := dialMTA(socket)
			if err != nil {
				return err
			}
			defer m.quit()
			results, err := m.sendMessage(l)
			if err != nil || !checked {
				return err
			}
			return check(l, results)
		}, func() {}, nil
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

// openSessions opens n sessions that have got as far as HELO.
func openSessions(c *child, n int) (end func(), err error) {
	var open []*mta
	end = func() {
		for _, m := range open {
			m.conn.Close()
		}
	}
	l := split(&corpus.NewSenders().Mails(1, 1, true)[0])
	for range n {
		m, err := dialMTA(socketOf(c.dir, false))
		if err != nil {
			end()
			return nil, err
		}
		m.conn.SetDeadline(time.Time{})
		m.connect(l)
		if err := m.w.Flush(); err != nil {
			end()
			return nil, err
		}
		m.r, m.w = nil, nil
		open = append(open, m)
	}
	return end, nil
}

// askPolicy asks n times as Postfix does, over connections that stay.
func askPolicy(c *child, mails []*letter, conns, n int) ([]time.Duration, error) {
	return spread(conns, n, func() (func(int) error, func(), error) {
		conn, err := net.Dial("unix", socketOf(c.dir, true))
		if err != nil {
			return nil, nil, err
		}
		answers := bufio.NewReader(conn)
		return func(i int) error { return ask(conn, answers, mails[i%len(mails)], i) }, func() { conn.Close() }, nil
	})
}

func ask(conn net.Conn, answers *bufio.Reader, l *letter, i int) error {
	_, err := fmt.Fprintf(conn, "request=smtpd_access_policy\nprotocol_state=RCPT\nprotocol_name=ESMTP\nclient_address=%s\n"+
		"client_name=%s\nhelo_name=%[2]s\nsender=%s\nrecipient=b@example.net\nrecipient_count=0\nqueue_id=\n"+
		"instance=%x.%d.0\nsize=3000\n\n", l.Client, l.Helo, l.ReversePath, i, i)
	for line := ""; err == nil && line != "\n"; {
		line, err = answers.ReadString('\n')
	}
	return err
}

// askAndSend is a message through both listeners, as a server has it that uses both.
func askAndSend(c *child, mails []*letter, conns, n int) ([]time.Duration, error) {
	return spread(conns, n, func() (func(int) error, func(), error) {
		conn, err := net.Dial("unix", socketOf(c.dir, true))
		if err != nil {
			return nil, nil, err
		}
		answers := bufio.NewReader(conn)
		do := func(i int) error {
			l := mails[i%len(mails)]
			if err := ask(conn, answers, l, i); err != nil {
				return err
			}
			m, err := dialMTA(socketOf(c.dir, false))
			if err != nil {
				return err
			}
			defer m.quit()
			_, err = m.sendMessage(l)
			return err
		}
		return do, func() { conn.Close() }, nil
	})
}
