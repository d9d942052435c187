package cli

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"postseal/internal/app/conf"
	"postseal/server"
)

func (a *app) serveCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "serve",
		Short: "Run the daemon: milter, policy service, SMTP proxy, HTTP",
		Long: `Serve runs the daemon with the configuration file of --config, by default
` + conf.UsualPath + ` if it exists. A configuration that names no listener has
the default ones, on loopback: milter ` + string(conf.DefaultMilter) + `, policy service
` + string(conf.DefaultPolicy) + `, http ` + string(conf.DefaultHTTP) + `.

SIGHUP reads the file again; a file with errors changes nothing. After SIGTERM or SIGINT,
the daemon accepts no new mail, finishes the messages in flight and exits; a second signal
exits at once. The log goes to standard error.`,
		Example: `  postseal serve --config /etc/postseal/postseal.toml
  postseal serve --resolver 127.0.0.1 --log-format json`,
		Args: exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.serve(c.Context(), c.Flags().Changed("log-format"))
		},
	}
}

func (a *app) serve(ctx context.Context, logFormatGiven bool) error {
	clock, err := a.clock()
	if err != nil {
		return err
	}
	if err := a.usualConfig(); err != nil {
		return err
	}
	o := server.Options{Stop: ctx.Done(), Now: clock, Log: a.stderr, State: conf.StateDir(), File: a.flags.config, Load: func(shared *conf.Shared) (*conf.Config, []conf.Problem, error) {
		return a.serveConfig(shared, logFormatGiven)
	}}
	o.Version, _ = buildVersion()
	if len(a.flags.zones) > 0 {
		if o.Resolver, err = zones(a.flags.zones); err != nil {
			return err
		}
	}
	d, err := server.New(o)
	switch {
	case err != nil && ctx.Err() != nil:
		return nil // it was still waiting for the host
	case err != nil:
		return serveFailure(err)
	}
	reload := make(chan os.Signal, 1)
	signal.Notify(reload, syscall.SIGHUP)
	defer signal.Stop(reload)
	defer context.AfterFunc(ctx, func() { signal.Reset(os.Interrupt, syscall.SIGTERM) })()
	if err := d.Run(ctx, reload); err != nil {
		return serveFailure(err)
	}
	return nil
}

// serveFailure distinguishes errors that may disappear on a retry from permanent ones.
func serveFailure(err error) *failure {
	var f *failure
	switch {
	case errors.As(err, &f):
		return f
	case errors.Is(err, syscall.EADDRINUSE):
		return failf(exitTempFail, "%v", err).or("another program, or another postseal, listens there")
	case errors.Is(err, syscall.EACCES):
		return failf(exitConfig, "%v", err).or("ports below 1024 and other users' directories need privileges: let systemd pass the socket")
	}
	return failf(exitConfig, "%v", err)
}

// serveConfig returns the configuration file, with what a fleet shares and the flags applied.
func (a *app) serveConfig(shared *conf.Shared, logFormatGiven bool) (*conf.Config, []conf.Problem, error) {
	c, warnings := conf.Default(), []conf.Problem(nil)
	if path := a.flags.config; path != "" {
		var err error
		if c, warnings, err = a.readConfig(path, shared); err != nil {
			return nil, nil, err
		}
	}
	if len(a.flags.resolvers) > 0 {
		servers, err := a.servers()
		if err != nil {
			return nil, nil, err
		}
		c.DNS.Servers = c.DNS.Servers[:0]
		for _, s := range servers {
			c.DNS.Servers = append(c.DNS.Servers, conf.Server(s))
		}
	}
	if a.flags.dnsTimeoutGiven {
		c.DNS.Timeout = conf.Duration(a.flags.dnsTimeout)
	}
	if logFormatGiven {
		c.Log.Format = a.flags.logFormat
	}
	switch {
	case a.flags.verbose:
		c.Log.Level = "debug"
	case a.flags.quiet:
		c.Log.Level = "warn"
	}
	return c, warnings, nil
}
