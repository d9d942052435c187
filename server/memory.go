package server

import (
	"errors"
	"os"

	"github.com/KimMachineGun/automemlimit/memlimit"

	"postseal/internal/conf"
	"postseal/server/door"
)

// cacheShare is what the cache of answers may take of the memory: it stays when mail is
// put off.
const cacheShare = 4

// keepMemory keeps to the memory of [limits], or to what the control group has.
func (d *Daemon) keepMemory(c conf.Limits) {
	limit := int64(c.Memory)
	if limit == 0 {
		limit = d.groupLimit()
	}
	d.memory = door.NewMemory(limit, os.Getenv("GOMEMLIMIT"))
	d.metrics.MemoryLimit.Set(float64(limit))
	if limit > 0 {
		d.log.Info("keeping to a limit of memory", "octets", limit)
	}
}

// groupLimit is memory.max of the control group (memory.limit_in_bytes in the first
// version), or of one above it that has less; 0 without one.
func (d *Daemon) groupLimit() int64 {
	limit, err := memlimit.FromCgroup()
	none := errors.Is(err, memlimit.ErrNoLimit) || errors.Is(err, memlimit.ErrNoCgroup) || errors.Is(err, memlimit.ErrCgroupsNotSupported) || errors.Is(err, os.ErrNotExist)
	switch {
	case none, err == nil && limit > 1<<50: // the first version writes no limit as a large one
		return 0
	case err != nil:
		d.log.Warn("the limit of memory is not known: set [limits] memory", "error", door.Text(err))
		return 0
	}
	return int64(limit)
}
