package server

import (
	"context"
	"log/slog"
	"net"

	"golang.org/x/net/netutil"

	"postseal/internal/conf"
	"postseal/server/door"
	"postseal/server/milter"
	"postseal/server/policy"
	"postseal/server/proxy"
	"postseal/server/web"
)

// maker makes the door behind a listener, which it may wrap.
type maker func(*conf.Config, net.Listener) (door.Door, net.Listener, error)

// kind is a listener that the configuration may name, or systemd may pass.
type kind struct {
	name    string
	address conf.Address
	make    maker
}

func (d *Daemon) kinds(c *conf.Config) []kind {
	return []kind{
		{door.Milter, c.Listen.Milter, d.milter},
		{door.Policy, c.Listen.Policy, d.policyService},
		{door.SMTP, c.Listen.SMTP, d.smtp},
		{door.HTTP, c.Listen.HTTP, d.http},
	}
}

func (d *Daemon) milter(c *conf.Config, l net.Listener) (door.Door, net.Listener, error) {
	return milter.New(d.engine, c.Limits.Connections), l, nil
}

func (d *Daemon) policyService(c *conf.Config, l net.Listener) (door.Door, net.Listener, error) {
	p := policy.New(d.engine, policyConfig(c))
	d.configure = append(d.configure, func(c *conf.Config) error {
		p.Configure(policyConfig(c))
		return nil
	})
	s := p.Door()
	s.Conns = c.Limits.Connections
	return s, l, nil
}

func policyConfig(c *conf.Config) policy.Config {
	return policy.Config{RejectFail: c.SPF.Fail == "reject", RejectSoftFail: c.SPF.SoftFail == "reject", RejectPermError: c.SPF.PermError == "reject",
		DeferTempError: c.SPF.TempError == "defer", RejectHeloFail: c.SPF.HeloFail == "reject", RejectNullMX: c.Policy.NullMX == "reject",
		RejectIPRev: c.Policy.IPRev == "reject", ReceivedSPF: c.Policy.ReceivedSPF, CheckAuthenticated: c.Network.CheckAuthenticated}
}

func (d *Daemon) smtp(c *conf.Config, l net.Listener) (door.Door, net.Listener, error) {
	p, err := proxy.New(d.engine, proxyConfig(c))
	if err != nil {
		return nil, l, err
	}
	d.configure = append(d.configure, func(c *conf.Config) error { return p.Configure(proxyConfig(c)) })
	s := p.Door(proxy.Transfer)
	s.Conns = c.Limits.Connections
	return s, l, nil
}

func proxyConfig(c *conf.Config) proxy.Config {
	return proxy.Config{Hostname: c.AuthservID, NextHop: proxy.NextHop{Address: string(c.Proxy.NextHop)},
		Peers: door.NewNetworks(conf.Prefixes(c.Network.Trusted)...)}
}

func (d *Daemon) http(c *conf.Config, l net.Listener) (door.Door, net.Listener, error) {
	s := web.New(d.engine, func(ctx context.Context) error { return d.names.Load().answers(ctx) })
	s.ErrorLog = slog.NewLogLogger(d.log.Handler(), slog.LevelDebug)
	return s, netutil.LimitListener(l, c.Limits.Connections), nil
}
