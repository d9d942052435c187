package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

type versionJSON struct {
	Schema   string `json:"schema"`
	Version  string `json:"version"`
	Revision string `json:"revision"`
	Go       string `json:"go"`
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  exactly(),
		RunE: func(*cobra.Command, []string) error {
			version, revision := buildVersion()
			if a.wantJSON() {
				return a.json(versionJSON{"postseal.version/1", version, revision, runtime.Version()})
			}
			fmt.Fprintf(a.out, "postseal %s\n", version)
			if revision != "" {
				fmt.Fprintf(a.out, "revision %s\n", revision)
			}
			fmt.Fprintf(a.out, "%s %s/%s\n", runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return nil
		},
	}
}

func buildVersion() (version, revision string) {
	info, ok := debug.ReadBuildInfo()
	if ok && released != "" {
		info.Main.Version = released
	}
	if !ok {
		return "unknown", ""
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			revision = s.Value
		}
	}
	return info.Main.Version, revision
}
