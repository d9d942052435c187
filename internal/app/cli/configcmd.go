package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"
	"github.com/spf13/cobra"

	"postseal/internal/app/conf"
	"postseal/internal/app/endpoint"
	"postseal/server/listener"
)

// configCommands are the commands below config.
type configCommands struct{ *app }

func (a configCommands) configCommand() *cobra.Command {
	alone := false
	check := &cobra.Command{
		Use:   "check FILE",
		Short: "Check a configuration file, and show where each error is",
		Long: `Check reads a configuration file and prints every error and every warning as
file:line:column: text; --verbose shows the line and marks the place. It fails for
anything that would keep serve from starting here: a file that is missing, a listener that
another program uses, a directory that cannot be created. --no-probe checks only the file,
for another host.

Exit codes: 0 valid, 66 no such file, 78 it has errors.`,
		Example: `  postseal config check /etc/postseal/postseal.toml`,
		Args:    exactly("FILE"),
		RunE:    func(c *cobra.Command, args []string) error { return a.configCheck(c.Context(), args[0], alone) },
	}
	check.Flags().BoolVar(&alone, "no-probe", false, "check only the file, not this host")
	show := &cobra.Command{
		Use:   "show",
		Short: "Print the configuration of --config with every default",
		Long: `Show prints the configuration in force: what --config says, and the default of every
key that it omits. Without --config, it prints what serve would use. Passwords are omitted.`,
		Example: `  postseal config show --config /etc/postseal/postseal.toml`,
		Args:    exactly(),
		RunE:    func(*cobra.Command, []string) error { return a.configShow() },
	}
	return a.group("config", "Check and print the configuration, and share it between hosts", check, show, a.configPushCommand(), a.configRollbackCommand(), a.configHistoryCommand())
}

type configJSON struct {
	Schema string         `json:"schema"`
	Config map[string]any `json:"config"`
}

// probes are the checks of a configuration on this host.
func (a configCommands) probes(ctx context.Context) []conf.Check {
	find := endpoint.NewFinder(conf.Default())
	return []conf.Check{func(c *conf.Config) []conf.KeyProblem {
		list := []conf.KeyProblem{}
		if _, err := listener.ReadToken(c.Listen.HTTPTokenFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
			list = append(list, conf.KeyProblem{Key: "listen.http_token_file", Text: strings.TrimPrefix(err.Error(), "[listen] http_token_file: ")})
		}
		if _, err := tls.LoadX509KeyPair(c.Proxy.Certificate, c.Proxy.Key); c.Proxy.Certificate != "" && err != nil && !errors.Is(err, fs.ErrNotExist) {
			list = append(list, conf.KeyProblem{Key: "proxy.certificate", Text: err.Error()})
		}
		a.config = c
		dns, err := a.resolver()
		if err != nil {
			list = append(list, conf.KeyProblem{Key: "dns.servers", Text: err.Error(), Warning: true})
		}
		return append(list, find.Check(ctx, dns)(c)...)
	}}
}

func (a configCommands) configCheck(ctx context.Context, path string, alone bool) error {
	var checks []conf.Check
	if !alone {
		checks = a.probes(ctx)
	}
	_, problems, err := conf.Load(path, time.Now(), checks...)
	var wrong *conf.Error
	switch {
	case errors.As(err, &wrong):
		problems = wrong.Problems
		a.setExit(exitConfig)
	case err != nil:
		return openFailure(path, err)
	}
	var text []byte
	if a.flags.verbose {
		text, _ = os.ReadFile(path) // this line is only a help: the problem is also shown without it
	}
	return a.page().ConfigCheck(path, problems, wrong == nil, text)
}

func (a configCommands) configShow() error {
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
	if err := toml.Unmarshal(out, &j.Config); err != nil { // the names and syntax of the file
		return failf(exitInternal, "%v", err)
	}
	return a.json(j)
}
