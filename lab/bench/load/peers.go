package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"postseal/lab/bench/corpus"
	"postseal/resolver/dnstest"
)

// peer is another milter, as Debian ships it. start writes its configuration into dir, with
// its socket at dir/s, and returns its command line.
type peer struct {
	kind  string
	start func(dir string) (args []string, err error)
}

var peers = []peer{
	{"opendkim", func(dir string) ([]string, error) {
		conf := filepath.Join(dir, "conf")
		return []string{"opendkim", "-f", "-x", conf}, os.WriteFile(conf, []byte("Mode v\nSocket local:"+dir+"/s\nSyslog no\nUserID root\nUMask 000\n"+
			"AuthservID mx.example.net\nAlwaysAddARHeader yes\nInternalHosts 192.0.2.255\n"), 0o600)
	}},
	{"opendmarc", func(dir string) ([]string, error) {
		conf := filepath.Join(dir, "conf")
		return []string{"opendmarc", "-f", "-c", conf}, os.WriteFile(conf, []byte("Socket local:"+dir+"/s\nSyslog false\nUserID root\nUMask 000\n"+
			"AuthservID mx.example.net\nTrustedAuthservIDs mx.example.net\nSPFSelfValidate true\nSPFIgnoreResults true\n"), 0o600)
	}},
	{"rspamd", func(dir string) ([]string, error) {
		local := filepath.Join(dir, "local.d")
		if err := os.MkdirAll(local, 0o755); err != nil {
			return nil, err
		}
		for name, text := range map[string]string{
			"worker-proxy.inc":      `bind_socket = "` + dir + `/s mode=0666"; milter = yes; count = 1; upstream "local" { default = yes; self_scan = yes; }`,
			"worker-normal.inc":     "enabled = false;",
			"worker-controller.inc": `bind_socket = "` + dir + `/controller";`,
			"options.inc":           `dns { nameserver = ["127.0.0.1"]; } control_socket = "` + dir + `/control mode=0600"; pidfile = "` + dir + `/pid";`,
			"logging.inc":           `type = "file"; filename = "` + dir + `/log"; level = "error";`,
			"fuzzy_check.conf":      "enabled = false;",
			"rbl.conf":              "enabled = false;",
		} {
			if err := os.WriteFile(filepath.Join(local, name), []byte(text+"\n"), 0o600); err != nil {
				return nil, err
			}
		}
		args := []string{"rspamd", "-f", "--insecure", "-c", "/etc/rspamd/rspamd.conf"}
		for _, name := range []string{"LOCAL_CONFDIR", "DBDIR", "LOGDIR", "RUNDIR"} {
			args = append(args, "--var="+name+"="+dir)
		}
		return args, nil
	}},
}

// peerTable measures each peer beside ours. It wants a network of its own, in which it can
// be the name server: see lab/bench/peers.sh.
func peerTable(r run) error {
	stop, err := serveZone()
	if err != nil {
		return err
	}
	defer stop()
	heading()
	for _, corpus := range []string{"small", "mixed"} {
		row := run{corpus: corpus, conns: 8, messages: r.messages, seed: r.seed}
		for _, kind := range []string{"milter-bare", "milter-postseal"} {
			row.kind = kind
			if err := print(row, sendMail); err != nil {
				return err
			}
		}
		for _, p := range peers {
			row.kind = p.kind
			if err := print(row, sendMail); err != nil {
				fmt.Printf("%-16s %-6s not measured: %v\n", p.kind, corpus, err)
			}
		}
	}
	return nil
}

// serveZone is the name server of this network, at port 53.
func serveZone() (stop func() error, err error) {
	zone, err := dnstest.Parse(corpus.Zone)
	if err != nil {
		return nil, err
	}
	s, err := zone.ServeAt("127.0.0.1:53")
	if err != nil {
		return nil, fmt.Errorf("%w: run lab/bench/peers.sh", err)
	}
	return s.Close, nil
}

// startPeer starts a peer and waits for its socket.
func startPeer(p peer) (*child, error) {
	dir, err := os.MkdirTemp("", "load")
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return nil, err
	}
	c := &child{dir: dir, socket: filepath.Join(dir, "s"), foreign: true}
	args, err := p.start(dir)
	if err != nil {
		return nil, err
	}
	c.cmd = exec.Command(args[0], args[1:]...)
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	for range 900 {
		if conn, err := net.Dial("unix", c.socket); err == nil {
			conn.Close()
			return c, nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	c.stop()
	return nil, errors.New("it does not start")
}

// foreignUsage is that of the process and all below it, by /proc.
func (c *child) foreignUsage() (u usage, err error) {
	family := map[int]bool{c.cmd.Process.Pid: true}
	for grown := true; grown; {
		grown = false
		for pid, stat := range processes() {
			if parent, _ := strconv.Atoi(stat[1]); family[parent] && !family[pid] {
				family[pid], grown = true, true
			}
		}
	}
	all := processes()
	for pid := range family {
		stat := all[pid]
		if stat == nil {
			continue
		}
		for _, field := range []int{11, 12} { // utime, stime, in hundredths of a second: proc(5)
			n, _ := strconv.Atoi(stat[field])
			u.cpu += time.Duration(n) * 10 * time.Millisecond
		}
		now := shareOfMemory(pid)
		u.now, u.peak = u.now+now, u.peak+now
	}
	return u, nil
}

// shareOfMemory is the resident memory of a process in KiB now, a page that several share
// counted in parts.
func shareOfMemory(pid int) (kib int64) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		fmt.Sscanf(line, "Pss: %d", &kib)
	}
	return kib
}

// processes is the fields of stat behind the name, by process.
func processes() map[int][]string {
	all := map[int][]string{}
	paths, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has gone
		}
		pid, _ := strconv.Atoi(strings.Split(path, "/")[2])
		_, rest, _ := strings.Cut(string(text), ") ")
		all[pid] = strings.Fields(rest)
	}
	return all
}

// end stops a peer; its workers end with it.
func (c *child) end() {
	c.cmd.Process.Signal(syscall.SIGTERM)
	c.cmd.Wait()
	os.RemoveAll(c.dir)
}
