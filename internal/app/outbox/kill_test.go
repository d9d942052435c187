package outbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"postseal/report"
	"postseal/resolver/dnstest"
	"postseal/store"
	"postseal/store/postgres"
	"postseal/store/sqlite"
	"postseal/store/storetest"
	"postseal/store/storetest/pgtest"
)

// killPoints is at how many of the places where a process may end TestKill ends one, and killSeeds how
// often it then ends the next one at a random place. `make report-kills` sets them to all places and
// to ten.
var (
	killPoints = envInt("POSTSEAL_KILL_POINTS", 5)
	killSeeds  = envInt("POSTSEAL_KILL_SEEDS", 1)
)

func envInt(name string, usual int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return usual
}

// TestMain runs the sender of TestKill, where the test started this process for it.
func TestMain(m *testing.M) {
	if os.Getenv("POSTSEAL_SENDER") != "" {
		if err := senderProcess(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(pgtest.Main(m, &server))
}

const killDays, killDomains = 2, 4

func killZone() string {
	zone := ourZone
	for i := range killDomains {
		zone += fmt.Sprintf("_dmarc.d%d.test. 60 TXT \"v=DMARC1; p=reject; rua=mailto:r@d%d.test\"\n", i, i)
	}
	return zone
}

// senderProcess sends what is due, over two days of its own clock, and kills itself at one of
// the places where it may end.
func senderProcess() error {
	ctx := context.Background()
	db, err := openKilled(ctx, os.Getenv("POSTSEAL_SENDER"))
	if err != nil {
		return err
	}
	defer db.Close()
	dns, err := dnstest.Parse(killZone())
	if err != nil {
		return err
	}
	reached, end := 0, envInt("POSTSEAL_KILL_AT", 0)
	SetFailpoint(func(string) {
		if reached++; reached == end {
			syscall.Kill(os.Getpid(), syscall.SIGKILL) //nolint:errcheck // it does not return
			select {}
		}
	})
	now := store.Time(theDay.End()).Add(time.Duration(envInt("POSTSEAL_ROUND", 0)) * time.Hour)
	s := &Sender{Builder: Builder{DB: db, Who: Who{From: "reports@mx.example.net", Org: "mx"}, Now: func() time.Time { return now }, MinMessages: 1, Window: Window{30 * time.Minute, 40 * time.Minute}},
		Resolver: dns, Signer: &report.Signer{Domain: "mx.example.net", Selector: "r1", Key: theKey}, Wait: 6 * time.Hour, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Carrier: &SMTP{SmartHost: os.Getenv("POSTSEAL_SINK"), Hello: "mx.example.net"}}
	for range killDays*24*3 + 6 {
		if err := s.Sweep(ctx); err != nil {
			return err
		}
		now = now.Add(20 * time.Minute)
	}
	fmt.Println(reached)
	return nil
}

// sink is a mail server that keeps what it takes.
type sink struct {
	mu    sync.Mutex
	mails [][]byte
}

func (s *sink) NewSession(*smtp.Conn) (smtp.Session, error) { return &sinkSession{s}, nil }

type sinkSession struct{ s *sink }

func (x *sinkSession) Reset()                               {}
func (x *sinkSession) Logout() error                        { return nil }
func (x *sinkSession) Mail(string, *smtp.MailOptions) error { return nil }
func (x *sinkSession) Rcpt(string, *smtp.RcptOptions) error { return nil }
func (x *sinkSession) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	x.s.mu.Lock()
	defer x.s.mu.Unlock()
	x.s.mails = append(x.s.mails, text)
	return nil
}

func newSink(t *testing.T) (*sink, string) {
	t.Helper()
	s := &sink{}
	server := smtp.NewServer(s)
	server.Domain = "sink.test"
	server.ErrorLog = slog.NewLogLogger(slog.NewTextHandler(io.Discard, nil), slog.LevelInfo)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go server.Serve(l) //nolint:errcheck // it ends with the test
	t.Cleanup(func() { server.Close() })
	return s, l.Addr().String()
}

func openKilled(ctx context.Context, path string) (store.Store, error) {
	if strings.HasPrefix(path, "postgres:") {
		return postgres.Open(ctx, path, postgres.Options{})
	}
	return sqlite.Open(ctx, path, sqlite.Options{})
}

// startSender runs a sender until it ends, or is killed at a place. It returns how many places
// it reached, 0 if it was killed.
func startSender(t *testing.T, path, address string, killAt, round int) int {
	t.Helper()
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), "POSTSEAL_SENDER="+path, "POSTSEAL_SINK="+address, fmt.Sprintf("POSTSEAL_KILL_AT=%d", killAt), fmt.Sprintf("POSTSEAL_ROUND=%d", round))
	out, err := c.CombinedOutput()
	var exit *exec.ExitError
	if killAt > 0 && errors.As(err, &exit) && exit.ExitCode() == -1 {
		return 0
	}
	n, err2 := strconv.Atoi(string(bytes.TrimSpace(out)))
	if err != nil || err2 != nil {
		t.Fatalf("%v %v: %s", err, err2, out)
	}
	return n
}

// killStore is a database with two days of mail of four domains.
func killStore(t *testing.T, engine string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "store.db")
	if engine == "postgres" {
		s := pgtest.Need(t, server)
		path = s.Database(t, s.Addr)
	}
	db, err := openKilled(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	r := newRigOver(t, killZone(), db)
	for day := range killDays {
		for i := range killDomains {
			r.mails(theDay+store.Day(day), i+1, passing(fmt.Sprintf("d%d.test", i)), fmt.Sprintf("v=DMARC1; p=reject; rua=mailto:r@d%d.test", i))
		}
	}
	r.node.Shipped = (theDay + killDays + 1).Start() // nothing is missing
	r.node.Seen = r.node.Shipped
	storetest.Ship(t, r.DB, &r.node, &store.Batch{})
	if err := r.DB.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestKill: wherever a sender is killed, and the one that is started after it, each domain has one
// report of each day in the end, with all its messages. A mail may come twice for each that was
// killed, with the same name and the same report.
func TestKill(t *testing.T) {
	for _, engine := range []string{"sqlite", "postgres"} {
		t.Run(engine, func(t *testing.T) {
			if engine == "postgres" && killSeeds == 1 {
				t.Skip("skipped: POSTSEAL_KILL_SEEDS is not set, as make report-kills does")
			}
			whole, address := newSink(t)
			places := startSender(t, killStore(t, engine), address, 0, 0)
			if len(whole.mails) != killDays*killDomains || places < 40 {
				t.Fatalf("%d mails, %d places", len(whole.mails), places)
			}
			points := min(killPoints, places)
			for i := range points {
				at := 1 + i*places/points
				t.Run(fmt.Sprint(at), func(t *testing.T) {
					t.Parallel()
					for seed := range killSeeds {
						killed(t, engine, at, seed, places)
					}
				})
			}
		})
	}
}

// killed kills a sender at a place, for seeds other than 0 the next one too, and lets a last one end.
func killed(t *testing.T, engine string, at, seed, places int) {
	mails, address := newSink(t)
	path := killStore(t, engine)
	if startSender(t, path, address, at, 0) != 0 {
		t.Fatalf("not killed at %d", at)
	}
	kills := 1
	if seed > 0 {
		kills++
		r := rand.New(rand.NewPCG(uint64(at), uint64(seed)))
		startSender(t, path, address, 1+r.IntN(places), 1)
	}
	startSender(t, path, address, 0, kills)
	checkOnce(t, mails.mails, kills)
	if t.Failed() {
		t.Fatalf("at place %d, seed %d", at, seed)
	}
}

// checkOnce: one report of each day and domain, with the messages that were sent.
func checkOnce(t *testing.T, mails [][]byte, kills int) {
	t.Helper()
	if len(mails) > killDays*killDomains+kills {
		t.Errorf("%d mails", len(mails))
	}
	reports, bodies := map[string]int64{}, map[string]string{}
	for _, text := range mails {
		var records []byte
		r := &report.Reader{Record: func(x report.Record) error { records = fmt.Append(records, x); return nil }, Report: func(x *report.Report) error {
			key := x.Begin.Format(time.DateOnly) + " " + x.Domain
			body := x.ID + string(records)
			if before, twice := bodies[key]; twice && before != body {
				t.Errorf("%s was reported twice, in different words", key)
			}
			reports[key], bodies[key] = x.Messages, body
			return nil
		}}
		if _, err := r.Read(t.Context(), "mail", bytes.NewReader(text)); err != nil {
			t.Fatal(err)
		}
	}
	for day := range killDays {
		for i := range killDomains {
			key := fmt.Sprintf("%s d%d.test", theDay+store.Day(day), i)
			if reports[key] != int64(i+1) {
				t.Errorf("%s: %d messages, want %d", key, reports[key], i+1)
			}
			delete(reports, key)
		}
	}
	if len(reports) > 0 {
		t.Errorf("more reports: %v", reports)
	}
}
