package cli

import (
	"os"
	"runtime/pprof"

	"github.com/spf13/cobra"
)

// profiled adds the flag --cpuprofile to c: a CPU profile is written to a file for go tool pprof.
func (a *app) profiled(c *cobra.Command) *cobra.Command {
	file := c.Flags().String("cpuprofile", "", "write where the time went to `FILE`, for go tool pprof")
	work := c.RunE
	c.RunE = func(c *cobra.Command, args []string) error {
		if *file == "" {
			return work(c, args)
		}
		f, err := os.Create(*file)
		if err != nil {
			return failf(exitCreate, "--cpuprofile: %v", err)
		}
		defer func() {
			if err := f.Close(); err != nil {
				a.fail(failf(exitCreate, "--cpuprofile: %v", err))
			}
		}()
		if err := pprof.StartCPUProfile(f); err != nil {
			return failf(exitInternal, "--cpuprofile: %v", err)
		}
		defer pprof.StopCPUProfile()
		return work(c, args)
	}
	return c
}
