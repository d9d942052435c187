package cli

import (
	"errors"
	"os"
	"time"

	"github.com/pelletier/go-toml/v2"
	"github.com/spf13/cobra"

	"postseal/internal/app/conf"
)

func (a *app) configCommand() *cobra.Command {
	check := &cobra.Command{
		Use:   "check FILE",
		Short: "Check a configuration file: every error with its place",
		Long: `Check reads a configuration file and prints every error and every warning as
file:line:column: text; --verbose shows the line and marks the place.

Exit codes: 0 it can be used, 66 no such file, 78 it has errors.`,
		Example: `  postseal config check /etc/postseal/postseal.toml`,
		Args:    exactly("FILE"),
		RunE:    func(_ *cobra.Command, args []string) error { return a.configCheck(args[0]) },
	}
	show := &cobra.Command{
		Use:   "show",
		Short: "Print the configuration of --config with every default",
		Long: `Show prints the configuration in force: what --config says, and the default of every
key that it leaves out. Without --config it is what serve runs with then. Passwords are
left out.`,
		Example: `  postseal config show --config /etc/postseal/postseal.toml`,
		Args:    exactly(),
		RunE:    func(*cobra.Command, []string) error { return a.configShow() },
	}
	return a.group("config", "Check and print the configuration", check, show)
}

type configJSON struct {
	Schema string         `json:"schema"`
	Config map[string]any `json:"config"`
}

func (a *app) configCheck(path string) error {
	_, problems, err := conf.Load(path, time.Now())
	var wrong *conf.Error
	switch {
	case errors.As(err, &wrong):
		problems = wrong.Problems
		a.raise(exitConfig)
	case err != nil:
		return openFailure(path, err)
	}
	var text []byte
	if a.flags.verbose {
		text, _ = os.ReadFile(path) // the line is a help, the problem stands without it
	}
	return a.page().ConfigCheck(path, problems, wrong == nil, text)
}

func (a *app) configShow() error {
	c := a.config
	if a.flags.config == "" {
		c = conf.Default()
	}
	out, err := c.Text()
	if err != nil {
		return failf(exitInternal, "%v", err)
	}
	if !a.wantJSON() {
		_, err = a.out.Write(out)
		return err
	}
	j := configJSON{Schema: "postseal.config/1"}
	if err := toml.Unmarshal(out, &j.Config); err != nil { // the names and forms of the file
		return failf(exitInternal, "%v", err)
	}
	return a.json(j)
}
