package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"postseal/domain"
	"postseal/internal/app/conf"
	"postseal/internal/app/postfix"
	"postseal/server"
)

// defaultPublic is the listener of the rejection page if none is configured.
const defaultPublic = conf.Address("127.0.0.1:8897")

func (a hostCommands) setupRefusalCommand() *cobra.Command {
	var hostname, configDir string
	c := &cobra.Command{
		Use:   "refusal [flags]",
		Short: "Print how to publish the page that explains a rejection to its sender",
		Long: `Print the lines for the configuration, and for nginx and Caddy, that publish the rejection
page. The reply to each rejected message then links to a page that says, in the reader's
language, why the message was not delivered and what to do. The page shows no address,
subject or text of the message, and the http listener stays closed to the internet.

Exit codes: 0 printed.`,
		Example: `  postseal setup refusal --hostname mx.example.net`,
		Args:    exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.setupRefusal(c.Context(), hostname, configDir)
		},
	}
	c.Flags().StringVar(&hostname, "hostname", "", "`NAME` of the web server (default: myhostname of Postfix, else that of this host)")
	c.Flags().StringVar(&configDir, "config-dir", "", "configuration `DIR` of Postfix (default: its own)")
	return c
}

func (a hostCommands) setupRefusal(ctx context.Context, hostname, configDir string) error {
	if err := a.usualConfig(); err != nil {
		return err
	}
	if hostname == "" {
		hostname = server.Hostname()
		if s, err := postfix.Read(ctx, configDir); err == nil && s.Hostname != "" {
			hostname = s.Hostname
		}
	}
	name, err := domain.Parse(hostname)
	if err != nil {
		return usage("--hostname: %v", err)
	}
	at := a.config.Listen.Public
	if at == "" {
		at = defaultPublic
	}
	fmt.Fprint(a.out, publishing(string(name), at))
	a.hint("then restart postseal and reload the web server; the reply to a rejected message links to its page")
	return nil
}

// publishing returns the lines that publish the page at a host name.
func publishing(host string, at conf.Address) string {
	network, address := at.Network()
	nginx, caddy := "http://"+address, address
	if network == "unix" {
		nginx, caddy = "http://unix:"+address+":", "unix/"+address
	}
	return strings.NewReplacer("HOST", host, "ADDRESS", string(at), "NGINX", nginx, "CADDY", caddy).Replace(`# postseal.toml: reply_url goes above the first [table], public into [listen]
reply_url = "https://HOST/r"

[listen]
public = "ADDRESS"

# nginx: into the server block of HOST that has TLS
location /r/ {
    proxy_pass NGINX;
    proxy_set_header X-Forwarded-For $remote_addr;
}

# Caddy, instead of nginx
HOST {
    reverse_proxy /r/* CADDY
}
`)
}

// hintRefusal explains how rejected senders can learn the reason.
func (a hostCommands) hintRefusal() {
	if a.config.ReplyURL == "" {
		a.hint("to give rejected senders a page with the reason, through nginx or Caddy: postseal setup refusal")
	}
}
