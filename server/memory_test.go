package server

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// TestMemoryHigh: the lowest memory.high of our control group and those above it, as far as
// they are mounted, and of no other.
func TestMemoryHigh(t *testing.T) {
	const v2 = "0::/system.slice/postseal.service"
	for _, test := range []struct {
		name, cgroup, root string
		files              map[string]string // memory.high below the mount
		want               int64             // -1 is an error
	}{
		{"our own", v2, "/", map[string]string{"system.slice/postseal.service": "268435456\n"}, 256 << 20},
		{"none anywhere", v2, "/", map[string]string{"system.slice/postseal.service": "max\n", "system.slice": "max\n"}, 0},
		{"no controller", v2, "/", nil, 0},
		{"that above is lower", v2, "/", map[string]string{"system.slice/postseal.service": "300\n", "system.slice": "200\n"}, 200},
		{"ours is lower", v2, "/", map[string]string{"system.slice/postseal.service": "100\n", "system.slice": "200\n"}, 100},
		{"that of another", v2, "/", map[string]string{"user.slice": "100\n", "system.slice/postfix.service": "100\n"}, 0},
		{"a namespace", "0::/", "/", map[string]string{".": "400\n"}, 400},
		{"a mount of a part", v2, "/system.slice", map[string]string{"postseal.service": "500\n", ".": "max\n"}, 500},
		{"a mount of another part", v2, "/user.slice", map[string]string{".": "500\n"}, 0},
		{"beside the first version", "4:memory:/x\n" + v2, "/", map[string]string{"x": "100\n"}, 0},
		{"the first version alone", "4:memory:/x", "/", map[string]string{"x": "100\n"}, 0},
		{"no number", v2, "/", map[string]string{"system.slice": "a lot\n"}, -1},
	} {
		dir := t.TempDir()
		mount := filepath.Join(dir, "cgroup")
		write := func(path, text string) {
			t.Helper()
			path = filepath.Join(dir, path)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		write("proc/1/cgroup", test.cgroup+"\n")
		write("proc/1/mountinfo", fmt.Sprintf("22 1 0:21 / /proc rw shared:5 - proc proc rw\n30 22 0:26 %s %s ro,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n", test.root, mount))
		if err := os.Symlink("1", filepath.Join(dir, "proc/self")); err != nil {
			t.Fatal(err)
		}
		for group, text := range test.files {
			write(filepath.Join("cgroup", group, "memory.high"), text)
		}
		got, err := memoryHigh(filepath.Join(dir, "proc"))
		switch {
		case test.want < 0:
			if err == nil || !strings.Contains(err.Error(), "memory.high") {
				t.Errorf("%s: error %v, want one that names memory.high", test.name, err)
			}
		case err != nil || got != test.want:
			t.Errorf("%s: %d, %v, want %d", test.name, got, err, test.want)
		}
	}
	if got, err := memoryHigh(filepath.Join(t.TempDir(), "none")); got != 0 || err != nil {
		t.Errorf("without /proc: %d, %v, want none", got, err)
	}
}

func TestLower(t *testing.T) {
	for _, test := range [][3]int64{{0, 0, 0}, {0, 5, 5}, {5, 0, 5}, {4, 5, 4}, {5, 4, 4}} {
		if got := lower(test[0], test[1]); got != test[2] {
			t.Errorf("lower(%d, %d) = %d, want %d", test[0], test[1], got, test[2])
		}
	}
}

// TestAvailableMemory: there is always a limit, and it is never above what the machine has.
func TestAvailableMemory(t *testing.T) {
	total, err := memlimit.FromSystem()
	if err != nil {
		t.Skip("skipped: the memory of this machine is not known: ", err)
	}
	group, err := groupLimit()
	if err != nil {
		t.Fatal(err)
	}
	got, err := availableMemory()
	if want := int64(total / machineShare); err != nil || group == 0 && got != want || group > 0 && got != group {
		t.Errorf("availableMemory = %d, %v; the machine has %d, the control group %d", got, err, total, group)
	}
}
