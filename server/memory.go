package server

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/prometheus/procfs"

	"postseal/internal/app/conf"
	"postseal/server/listener"
)

// cacheShare is what the cache of answers may take of the memory: it stays when mail is
// deferred.
const cacheShare = 4

// keepMemory keeps to the memory of [limits], to what the control group has, or to half of that of
// the machine.
func (d *Daemon) keepMemory(c conf.Limits) {
	limit := int64(c.Memory)
	if limit == 0 {
		var err error
		if limit, err = availableMemory(); err != nil {
			d.log.Warn("the memory limit is unknown: set [limits] memory", "error", listener.Text(err))
		}
	}
	d.memory = listener.NewMemory(limit, os.Getenv("GOMEMLIMIT"))
	d.metrics.MemoryLimit.Set(float64(limit))
	if limit > 0 {
		d.log.Info("memory limit", "octets", limit)
	}
}

// tuneMemory lets the collector run as often as the memory in use asks for, and ends costly messages
// where that does not help. The environment goes first.
func (d *Daemon) tuneMemory() {
	if os.Getenv("GOGC") == "" {
		d.memory.Tune(d.engine.ShedCostliest)
	}
}

// machineShare is what a daemon without a control group keeps to: one part of so many of the memory
// of the machine, which others need too.
const machineShare = 2

// availableMemory is the limit of the control group, else half of the memory of the machine, else 0.
func availableMemory() (int64, error) {
	limit, err := groupLimit()
	if limit > 0 || err != nil {
		return limit, err
	}
	total, err := memlimit.FromSystem()
	return int64(total / machineShare), err
}

// groupLimit is the lowest memory.max or memory.high (memory.limit_in_bytes in the first
// version) of the control group and those above it; 0 without one.
func groupLimit() (int64, error) {
	most, err := memlimit.FromCgroup()
	none := errors.Is(err, memlimit.ErrNoLimit) || errors.Is(err, memlimit.ErrNoCgroup) || errors.Is(err, memlimit.ErrCgroupsNotSupported) || errors.Is(err, os.ErrNotExist)
	switch {
	case none, err == nil && most > 1<<50: // the first version writes no limit as a large one
		most = 0
	case err != nil:
		return 0, err
	}
	high, err := memoryHigh(procfs.DefaultMountPoint)
	return lower(int64(most), high), err
}

// lower is the lower of two limits, 0 for none.
func lower(a, b int64) int64 {
	if a == 0 || b == 0 {
		return max(a, b)
	}
	return min(a, b)
}

// memoryHigh is the lowest memory.high of the control groups that this process is in, 0
// without one: the kernel slows down what goes beyond it, long before memory.max. proc is where
// /proc is.
func memoryHigh(proc string) (limit int64, err error) {
	dirs, err := groupDirs(proc)
	for _, dir := range dirs {
		high, err := readLimit(filepath.Join(dir, "memory.high"))
		if err != nil {
			return limit, err
		}
		limit = lower(limit, high)
	}
	return limit, err
}

// groupDirs are the directories of this process's control group of the second version and of
// those above it, as far as they are mounted here.
func groupDirs(proc string) (dirs []string, err error) {
	fs, err := procfs.NewFS(proc)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil // this is not a Linux
	}
	if err != nil {
		return nil, err
	}
	self, err := fs.Self()
	if err != nil {
		return nil, err
	}
	groups, err := self.Cgroups()
	if err != nil {
		return nil, err
	}
	mounts, err := self.MountInfo()
	for _, g := range groups {
		for _, m := range mounts {
			below, outside := filepath.Rel(m.Root, g.Path)
			if g.HierarchyID != 0 || m.FSType != "cgroup2" || outside != nil || !filepath.IsLocal(below) {
				continue
			}
			for ; below != "."; below = filepath.Dir(below) {
				dirs = append(dirs, filepath.Join(m.MountPoint, below))
			}
			dirs = append(dirs, m.MountPoint)
		}
	}
	return dirs, err
}

// readLimit reads a limit in octets, 0 without one or without the file.
func readLimit(path string) (int64, error) {
	octets, err := os.ReadFile(path)
	text := strings.TrimSpace(string(octets))
	switch {
	case errors.Is(err, os.ErrNotExist), text == "max":
		return 0, nil
	case err != nil:
		return 0, err
	}
	limit, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	return limit, nil
}
