//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"postseal/internal/core/dnszone"
)

// insideMachine is set in a test that runs in a machine of its own, to the name of what it does.
const insideMachine = "POSTSEAL_MACHINE"

// runInMachine runs this test binary again in namespaces of its own: whatever it does to files, the
// network and processes is gone when it ends. test is a pattern of -test.run.
func runInMachine(t *testing.T, test, what string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// bash is the first process: it collects those that lose their parent.
	cmd := exec.Command("unshare", "--mount", "--net", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc",
		"bash", "-c", `"$@" & wait $!`, "machine", self, "-test.run", test, "-test.v", "-test.timeout", "15m")
	cmd.Env = append(os.Environ(), insideMachine+"="+what, "POSTSEAL_BINARY="+binary)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "skipped") || testing.Verbose() && strings.Contains(line, "walked") {
			t.Log(strings.TrimSpace(line))
		}
	}
}

// noMachine says why there can be no such machine here, "" if there can.
func noMachine() string {
	for _, program := range []string{"unshare", "ip", "perl", "adduser", "systemd-socket-activate"} {
		if _, err := exec.LookPath(program); err != nil {
			return program + " is not installed: apt-get install util-linux iproute2 perl adduser systemd"
		}
	}
	if out, err := exec.Command("unshare", "--mount", "--net", "--uts", "--pid", "--fork", "--mount-proc", "true").CombinedOutput(); err != nil {
		return fmt.Sprintf("namespaces cannot be made here: %s", out)
	}
	return ""
}

// ownFiles puts an overlay in memory over every directory of /: what is written stays in this machine.
func ownFiles(t *testing.T) {
	t.Helper()
	base := "/run"
	must(t, syscall.Mount("none", base, "tmpfs", 0, "mode=755"))
	entries, err := os.ReadDir("/")
	must(t, err)
	for _, e := range entries {
		dir := "/" + e.Name()
		if !e.IsDir() || dir == "/proc" || dir == "/sys" || dir == "/dev" || dir == base {
			continue
		}
		info, err := os.Stat(dir)
		must(t, err)
		work := filepath.Join(base, "machine", e.Name())
		upper := filepath.Join(work, "upper")
		must(t, os.MkdirAll(filepath.Join(work, "work"), 0o755))
		must(t, os.MkdirAll(upper, 0o755))
		must(t, os.Chmod(upper, info.Mode())) // the upper directory is what / shows
		options := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", dir, upper, filepath.Join(work, "work"))
		if err := syscall.Mount("overlay", dir, "overlay", 0, options); err != nil {
			t.Fatalf("overlay on %s: %v", dir, err)
		}
	}
	// The directory that is open is still the old one.
	wd, err := os.Getwd()
	must(t, err)
	must(t, os.Chdir(wd))
}

// serveNames answers at 127.0.0.1:53 from zone files.
func serveNames(t *testing.T, zones ...string) {
	t.Helper()
	z, err := dnszone.ParseFiles(zones...)
	must(t, err)
	s, err := z.ServeAt("127.0.0.1:53")
	must(t, err)
	t.Cleanup(func() { s.Close() })
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
