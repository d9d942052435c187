// Package pgtest starts a PostgreSQL of Debian for tests: unprivileged, in its own folder, on a
// unix socket and loopback.
package pgtest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// needVar is set where the tests with PostgreSQL run: a missing one is an error then. go test ./...
// has no time for them.
const needVar = "POSTSEAL_NEED_PG"

// fsyncVar is on for a server that waits for the disk, which benchmarks can measure. Tests need not: no power is cut.
const fsyncVar = "POSTSEAL_PG_FSYNC"

// Server is a running PostgreSQL.
type Server struct {
	Addr string // of TCP, on loopback
	dir  string
	bin  string
	cred *syscall.Credential
	n    atomic.Int64

	prepared sync.Once
	template string
}

// Main runs the tests of a package with one server, which use reads from. Without PostgreSQL,
// use stays nil, and Need skips.
func Main(m *testing.M, use **Server) int {
	s, err := start()
	if err != nil {
		missing = err
		return m.Run()
	}
	defer s.stop()
	*use = s
	return m.Run()
}

// Begin starts a server for one test.
func Begin(t testing.TB) *Server {
	t.Helper()
	s, err := start()
	if err != nil {
		missing = err
		return Need(t, nil)
	}
	t.Cleanup(s.stop)
	return s
}

var (
	missing     error
	errNotAsked = errors.New(needVar + "=1 runs the tests with PostgreSQL")
)

// Need skips the test where there is no PostgreSQL, or fails it where there must be one.
func Need(t testing.TB, s *Server) *Server {
	t.Helper()
	if s != nil {
		return s
	}
	if missing == errNotAsked {
		t.Skipf("SKIPPED: %v", missing)
	}
	t.Fatalf("PostgreSQL is needed (%s): %v", needVar, missing)
	return nil
}

// Long skips a test that go test ./... has no time for.
func Long(t testing.TB) {
	t.Helper()
	if os.Getenv(needVar) == "" {
		t.Skipf("SKIPPED: it takes long: %s=1", needVar)
	}
}

// binaries finds the folder of initdb.
func binaries() (string, error) {
	dirs, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	slices.Reverse(dirs)
	for _, dir := range dirs {
		if _, err := os.Stat(filepath.Join(dir, "initdb")); err == nil {
			return dir, nil
		}
	}
	path, err := exec.LookPath("initdb")
	return filepath.Dir(path), err
}

func start() (s *Server, err error) {
	if os.Getenv(needVar) == "" {
		return nil, errNotAsked
	}
	s = &Server{}
	if s.bin, err = binaries(); err != nil {
		return nil, err
	}
	if s.dir, err = os.MkdirTemp("", "postseal-pg-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			os.RemoveAll(s.dir)
		}
	}()
	if err := s.unprivileged(); err != nil {
		return nil, err
	}
	data := filepath.Join(s.dir, "data")
	if err := s.run("initdb", "-A", "trust", "-U", "postgres", "--no-locale", "-E", "UTF8", "-N", "-D", data); err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	s.Addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	return s, s.Start()
}

// Start starts the server again after Crash.
func (s *Server) Start() error {
	_, port, err := net.SplitHostPort(s.Addr)
	if err != nil {
		return err
	}
	options := fmt.Sprintf("-c fsync=%s -c port=%s -c listen_addresses=127.0.0.1 -c unix_socket_directories=%s -c max_connections=100", cmp.Or(os.Getenv(fsyncVar), "off"), port, s.dir)
	return s.run("pg_ctl", "-w", "-t", "60", "-D", filepath.Join(s.dir, "data"), "-l", filepath.Join(s.dir, "log"), "-o", options, "start")
}

// Crash ends all processes of the server with SIGKILL. Where there is no /proc, it asks the server to end at once.
func (s *Server) Crash() error {
	all := s.processes()
	if len(all) == 0 {
		return s.immediate()
	}
	main := all[0]
	if err := syscall.Kill(main.pid, syscall.SIGSTOP); err != nil {
		return err
	}
	if err := wait(func() bool { return main.state() == "T" }); err != nil { // it starts no more processes
		return err
	}
	all = s.processes()
	for _, p := range all {
		if err := syscall.Kill(p.pid, syscall.SIGKILL); err != nil && err != syscall.ESRCH {
			return err
		}
	}
	gone := func(states string) func() bool {
		return func() bool {
			return !slices.ContainsFunc(all, func(p process) bool { return !strings.Contains(states, p.state()) })
		}
	}
	if err := wait(gone("ZX")); err != nil {
		return err
	}
	if wait(gone("")) == nil {
		return nil
	}
	return os.Remove(filepath.Join(s.dir, "data", "postmaster.pid")) // no process asks how they ended, so their numbers stay taken
}

func wait(holds func() bool) error {
	for end := time.Now().Add(10 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			return errors.New("the server does not end")
		}
	}
	return nil
}

func (s *Server) immediate() error {
	return s.run("pg_ctl", "-w", "-D", filepath.Join(s.dir, "data"), "-m", "immediate", "stop")
}

// CPU is the time that all processes of the server have used, those that ended included, as far
// as Linux tells (proc(5)).
func (s *Server) CPU(t testing.TB) (used time.Duration) {
	t.Helper()
	all := s.processes()
	if len(all) == 0 {
		t.Fatal("the server does not run, or there is no /proc")
	}
	used = ticks(all[0].fields[11:15]) // its own, and of children that ended
	for _, p := range all[1:] {
		used += ticks(p.fields[11:13])
	}
	return used
}

// process is one of a server, with the fields of its stat after the name (proc(5)).
type process struct {
	pid    int
	fields []string
}

// processes returns those of the server, the main one first.
func (s *Server) processes() (all []process) {
	text, _ := os.ReadFile(filepath.Join(s.dir, "data", "postmaster.pid"))
	line, _, _ := strings.Cut(string(text), "\n")
	main, err := strconv.Atoi(line)
	if err != nil {
		return nil
	}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		pid, _ := strconv.Atoi(strings.Split(path, "/")[2])
		switch p := (process{pid, statOf(pid)}); {
		case len(p.fields) < 15:
		case pid == main:
			all = slices.Insert(all, 0, p)
		case p.fields[1] == line:
			all = append(all, p)
		}
	}
	if len(all) == 0 || all[0].pid != main {
		return nil
	}
	return all
}

func statOf(pid int) []string {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := strings.Cut(string(text), ") ")
	return strings.Fields(rest)
}

// state is Z or "" once a process has ended, T while it is stopped.
func (p process) state() string {
	now := statOf(p.pid)
	if len(now) == 0 {
		return ""
	}
	return now[0]
}

// ticks are hundredths of a second, as the kernel counts for programs on every architecture.
func ticks(fields []string) (sum time.Duration) {
	for _, f := range fields {
		n, _ := strconv.Atoi(f)
		sum += time.Duration(n) * 10 * time.Millisecond
	}
	return sum
}

func (s *Server) stop() {
	s.immediate()
	os.RemoveAll(s.dir)
}

// unprivileged gives the directory to an unprivileged user if root runs the tests: initdb refuses root.
func (s *Server) unprivileged() error {
	if os.Geteuid() != 0 {
		return nil
	}
	u, err := user.Lookup("nobody")
	if err != nil {
		return err
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return err
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		return err
	}
	s.cred = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return os.Chown(s.dir, uid, gid)
}

func (s *Server) run(name string, args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, filepath.Join(s.bin, name), args...)
	c.Dir = s.dir
	c.SysProcAttr = &syscall.SysProcAttr{Credential: s.cred}
	log, err := os.Create(filepath.Join(s.dir, name+".out")) // not a pipe: the server keeps it open
	if err != nil {
		return err
	}
	defer log.Close()
	c.Stdout, c.Stderr = log, log
	if err := c.Run(); err != nil {
		text, _ := os.ReadFile(log.Name())
		return fmt.Errorf("%s: %w: %s", name, err, strings.TrimSpace(string(text)))
	}
	return nil
}

// Backup writes a database with pg_dump as an operator does, and returns the octets.
func (s *Server) Backup(t testing.TB, address string) int64 {
	t.Helper()
	file := filepath.Join(s.dir, "backup.dump")
	if err := s.run("pg_dump", "-Fc", "-Z", "1", "-n", "postseal", "-f", file, "-d", address); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// Dump returns all that a database holds, as pg_dump writes it.
func (s *Server) Dump(t testing.TB, address string) []byte {
	t.Helper()
	file := filepath.Join(s.dir, "dump.sql")
	if err := s.run("pg_dump", "--inserts", "-f", file, "-d", address); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// Restore runs what Dump returned in a database.
func (s *Server) Restore(t testing.TB, address string, dump []byte) {
	t.Helper()
	file := filepath.Join(s.dir, "restore.sql")
	if err := os.WriteFile(file, dump, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := s.run("psql", "-q", "-v", "ON_ERROR_STOP=1", "-f", file, "-d", address); err != nil {
		t.Fatal(err)
	}
}

// UseTLS makes the server offer TLS with the certificate that sign returns for its address.
func (s *Server) UseTLS(t *testing.T, sign func(t *testing.T, ip string) (cert, key []byte)) {
	t.Helper()
	host, _, err := net.SplitHostPort(s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	cert, key := sign(t, host)
	conn, err := pgx.Connect(t.Context(), "postgres://postgres@"+s.Addr+"/postgres?sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	for name, content := range map[string][]byte{"ssl_cert_file": cert, "ssl_key_file": key} {
		path := filepath.Join(s.dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if s.cred != nil {
			if err := os.Chown(path, int(s.cred.Uid), int(s.cred.Gid)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := conn.Exec(t.Context(), "ALTER SYSTEM SET "+name+" = '"+path+"'"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := conn.Exec(t.Context(), "ALTER SYSTEM SET ssl = on"); err != nil {
		t.Fatal(err)
	}
	if err := s.Crash(); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	at, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		return 0, errors.New("no TCP address")
	}
	return at.Port, nil
}

// Database makes an empty database for one test, and returns its URL through addr, which is Addr
// or that of a proxy in front of it.
func (s *Server) Database(t testing.TB, addr string) string {
	t.Helper()
	return s.create(t, addr, "")
}

// Prepared is Database with what prepare makes of one, once: it is copied for each test.
func (s *Server) Prepared(t testing.TB, addr string, prepare func(address string)) string {
	t.Helper()
	s.prepared.Do(func() {
		address := s.create(t, s.Addr, "")
		prepare(address)
		s.template = name(address)
	})
	return s.create(t, addr, s.template)
}

// name is that of the database of a URL.
func name(address string) string {
	return address[strings.LastIndexByte(address, '/')+1 : strings.IndexByte(address, '?')]
}

func (s *Server) create(t testing.TB, addr, template string) string {
	t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, "postgres://postgres@"+s.Addr+"/postgres?sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	name := fmt.Sprintf("t%d", s.n.Add(1))
	statement := "CREATE DATABASE " + name
	if template != "" {
		statement += " TEMPLATE " + template
	}
	if _, err := conn.Exec(ctx, statement); err != nil {
		t.Fatal(err)
	}
	return "postgres://postgres@" + addr + "/" + name + "?sslmode=disable"
}
