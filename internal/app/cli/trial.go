package cli

import (
	"context"
	"net/http"

	"github.com/spf13/cobra"

	"postseal/internal/app/conf"
	"postseal/server"
	"postseal/server/listener"
)

func (a evidenceCommands) trialCommand() *cobra.Command {
	address := ""
	c := &cobra.Command{
		Use:   "trial",
		Short: "Show what the policy of [trial] would have done in the running daemon",
		Long: `Trial asks the daemon which messages its [trial] policy would have handled differently
since the trial began, grouped by sender. The trial never affects mail.

Exit codes: 0 shown, 69 cannot reach the daemon, 78 it has no [trial].`,
		Example: `  postseal trial --config /etc/postseal/postseal.toml
  postseal trial --address 127.0.0.1:8896 --format json`,
		Args: exactly(),
		RunE: func(c *cobra.Command, _ []string) error { return a.trial(c.Context(), address) },
	}
	c.Flags().StringVar(&address, "address", "", "`HOST:PORT` or unix:PATH of the daemon's http listener (default: of --config, else 127.0.0.1:8896)")
	return c
}

func (a evidenceCommands) trial(ctx context.Context, address string) error {
	if address == "" {
		if address = string(a.config.Listen.HTTP); address == "" {
			address = string(conf.Default().Listen.HTTP)
		}
	}
	var at conf.Address
	if err := at.UnmarshalText([]byte(address)); err != nil {
		return usage("--address: %v", err)
	}
	token, err := listener.ConfiguredToken(a.config)
	if err != nil {
		return failf(exitConfig, "%v", err)
	}
	var r server.TrialReport
	if err := call(ctx, http.MethodGet, at, "/v1/trial", token, &r); err != nil {
		return failf(exitUnavailable, "cannot reach the daemon at %s: %v", address, err).or("check that it is running and that [listen] http has this address")
	}
	if r.Schema != server.TrialSchema {
		return failf(exitUnavailable, "the daemon at %s replied with %.60q, not %s", address, r.Schema, server.TrialSchema)
	}
	if !r.Running && !a.page().JSON() {
		return failf(exitConfig, "the daemon has no [trial] policy").or("set [trial] enforce or discovery in its configuration, and reload it")
	}
	return a.page().Trial(&r)
}
