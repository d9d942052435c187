//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestSocketActivation: the sockets are those of systemd, made before the daemon runs and
// named as in deploy/systemd; Postfix, chrooted, connects to them.
func TestSocketActivation(t *testing.T) {
	activate, err := exec.LookPath("systemd-socket-activate")
	if err != nil {
		t.Skip("systemd-socket-activate is not installed: apt-get install systemd")
	}
	r := prepareRig(t, "")
	text, err := os.ReadFile(r.config)
	if err != nil {
		t.Fatal(err)
	}
	// What systemd passes is not named in the file.
	kept := slices.DeleteFunc(strings.Split(string(text), "\n"), func(line string) bool {
		return strings.HasPrefix(line, "milter = ") || strings.HasPrefix(line, "policy = ")
	})
	writeFile(t, r.config, strings.Join(kept, "\n"))
	dir := filepath.Join(r.postfix.spool, "postseal")
	r.postseal(t, 0, "setup", "postfix", "--config-dir", r.postfix.etc, "--milter", "unix:"+filepath.Join(dir, "milter.sock"), "--policy", "unix:"+filepath.Join(dir, "policy.sock"), "--apply", "--force")
	r.postfix.age(t)
	cmd := exec.Command(activate, "--fdname=milter:policy", "-l", filepath.Join(dir, "milter.sock"), "-l", filepath.Join(dir, "policy.sock"), binary, "serve", "--config", r.config)
	cmd.Stderr = r
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	r.cmd, r.exited = cmd, exited
	until(t, "the sockets are there", 20*time.Second, func() bool {
		for _, socket := range []string{"milter.sock", "policy.sock"} {
			if os.Chmod(filepath.Join(dir, socket), 0o666) != nil { // SocketUser=postfix does this in the unit
				return false
			}
		}
		return true
	})
	r.postfix.start(t)
	for i, from := range []string{"security@bank.test", "mallory@cheap.example"} {
		want := []int{550, 250}[i]
		m := cheap.sender(from).with(fmt.Sprintf("activated-%d", i), letter(from, "activated"))
		if got, err := deliver(r.listeners.both, m); err != nil || got.code != want {
			t.Errorf("%s: reply %+v, %v; want %d", from, got, err, want)
		}
	}
}
