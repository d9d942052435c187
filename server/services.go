package server

import (
	"context"
	"errors"
	"log/slog"
	"net"

	"golang.org/x/net/netutil"

	"postseal/internal/app/conf"
	"postseal/server/listener"
	"postseal/server/milter"
	"postseal/server/policy"
	"postseal/server/proxy"
	"postseal/server/web"
)

// maker creates the service of a listener, which it may wrap.
type maker func(*conf.Config, net.Listener) (listener.Service, net.Listener, error)

// kind is a listener that the configuration may name, or systemd may pass.
type kind struct {
	name    string
	address conf.Address
	make    maker
}

func (d *Daemon) kinds(c *conf.Config) []kind {
	return []kind{
		{listener.Milter, c.Listen.Milter, d.milter},
		{listener.Policy, c.Listen.Policy, d.policyService},
		{listener.SMTP, c.Listen.SMTP, d.smtp(proxy.Transfer)},
		{string(proxy.Submission), c.Listen.Submission, d.smtp(proxy.Submission)},
		{string(proxy.Submissions), c.Listen.Submissions, d.smtp(proxy.Submissions)},
		{listener.HTTP, c.Listen.HTTP, d.http},
		{listener.Public, c.Listen.Public, d.public},
	}
}

func (d *Daemon) milter(c *conf.Config, l net.Listener) (listener.Service, net.Listener, error) {
	return milter.New(d.engine, c.Limits.Connections), l, nil
}

func (d *Daemon) policyService(c *conf.Config, l net.Listener) (listener.Service, net.Listener, error) {
	return policy.New(d.engine).Server(c.Limits.Connections), l, nil
}

// smtp creates the service of one SMTP listener. All of them share one proxy, with its spool.
func (d *Daemon) smtp(m proxy.Mode) maker {
	return func(c *conf.Config, l net.Listener) (listener.Service, net.Listener, error) {
		if err := d.useProxy(c); err != nil {
			return nil, l, err
		}
		return d.proxy.Server(m, c.Limits.Connections), l, nil
	}
}

// useProxy applies [proxy] to connections that begin from now on.
func (d *Daemon) useProxy(c *conf.Config) error {
	config, err := proxy.FromConfig(c)
	if err != nil {
		return err
	}
	if d.proxy != nil {
		return d.proxy.Configure(config)
	}
	d.proxy, err = proxy.New(d.engine, config)
	return err
}

func (d *Daemon) http(c *conf.Config, l net.Listener) (listener.Service, net.Listener, error) {
	s := web.New(d.engine, func(ctx context.Context) error { return errors.Join(d.names.Load().answers(ctx), d.history.ready()) }, d.fleet.logins(), d.routes()...)
	s.ErrorLog = slog.NewLogLogger(d.log.Handler(), slog.LevelDebug)
	s.RegisterOnShutdown(d.history.live.close) // Shutdown waits for streams, which end with their client
	s.RegisterOnShutdown(d.audits.leave)       // likewise
	return s, netutil.LimitListener(l, c.Limits.Connections), nil
}
