package cli

import (
	"context"
	"net/http"

	"github.com/spf13/cobra"

	"postseal/internal/app/conf"
	"postseal/server"
	"postseal/server/listener"
)

func (a *app) trialCommand() *cobra.Command {
	address := ""
	c := &cobra.Command{
		Use:   "trial",
		Short: "Show what the policy of [trial] would have done in the running daemon",
		Long: `Trial asks the daemon what the policy that [trial] of its configuration tries would have
done otherwise than was done, by sender, since it is tried. Nothing is acted upon.

Exit codes: 0 shown, 69 the daemon cannot be reached, 78 it tries nothing.`,
		Example: `  postseal trial --config /etc/postseal/postseal.toml
  postseal trial --address 127.0.0.1:8896 --format json`,
		Args: exactly(),
		RunE: func(c *cobra.Command, _ []string) error { return a.trial(c.Context(), address) },
	}
	c.Flags().StringVar(&address, "address", "", "`HOST:PORT` or unix:PATH of the daemon's http listener (default: of --config, else 127.0.0.1:8896)")
	return c
}

func (a *app) trial(ctx context.Context, address string) error {
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
		return failf(exitUnavailable, "the daemon at %s: %v", address, err).or("is it running, with [listen] http there?")
	}
	if r.Schema != server.TrialSchema {
		return failf(exitUnavailable, "the daemon at %s answers with %.60q, not %s", address, r.Schema, server.TrialSchema)
	}
	if !r.Running && !a.page().JSON() {
		return failf(exitConfig, "the daemon tries no other policy").or("set [trial] enforce or discovery in its configuration, and reload it")
	}
	return a.page().Trial(&r)
}
