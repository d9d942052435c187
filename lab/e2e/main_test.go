//go:build e2e

package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// binary is the postseal that all tests run: the one named in POSTSEAL_BINARY, such as that
// of a package, else one built from this source.
var binary = os.Getenv("POSTSEAL_BINARY")

// missing says why the tests cannot run here, "" when they can.
func missing() string {
	if os.Geteuid() != 0 {
		return "Postfix's master must be started by root"
	}
	for _, program := range []string{"postfix", "postconf", "swaks"} {
		if _, err := exec.LookPath(program); err != nil {
			return program + " is not installed: apt-get install postfix swaks"
		}
	}
	return ""
}

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if why := missing(); why != "" {
		fmt.Println("SKIPPED e2e:", why)
		return 0
	}
	dir, err := os.MkdirTemp("", "postseal-e2e-")
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer os.RemoveAll(dir)
	os.Setenv("STATE_DIRECTORY", filepath.Join(dir, "state")) // of every daemon that is started
	if binary != "" {
		return m.Run()
	}
	binary = filepath.Join(dir, "postseal")
	build := exec.Command("go", "build", "-o", binary, "../../cmd/postseal")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Printf("go build: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// tempDir is a directory that Postfix's unprivileged programs may pass through.
func tempDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "postseal-e2e-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// freePorts asks the kernel for TCP ports of loopback, all of them different.
func freePorts(t *testing.T, n int) []int {
	t.Helper()
	ports := make([]int, n)
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		ports[i] = l.Addr().(*net.TCPAddr).Port
	}
	return ports
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	octets, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(octets)
}
