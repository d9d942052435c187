package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	"postseal/internal/app/conf"
	"postseal/internal/app/history"
	"postseal/server/listener"
	"postseal/store"
)

func (a historyCommands) tailCommand() *cobra.Command {
	s, address := searchFlags{}, ""
	c := &cobra.Command{
		Use:   "tail [flags] [QUERY]...",
		Short: "Show the verdicts of the running daemon as they are made",
		Long: `Tail shows each verdict of the running daemon, with the filters of postseal history. It
needs no database.

Exit codes: 0 interrupted, 69 the daemon cannot be reached, or it ended.`,
		Example: "  postseal tail\n  postseal tail -applied:accept\n  postseal tail --author acme.test --format jsonl",
		RunE: func(c *cobra.Command, words []string) error {
			text := s.text(words)
			if _, err := a.parseEach(text); err != nil {
				return err
			}
			return a.tail(c.Context(), address, text)
		},
	}
	s.add(c.Flags())
	c.Flags().StringVar(&address, "address", "", "`HOST:PORT` or unix:PATH of the daemon's http listener (default: of the configuration, else 127.0.0.1:8896)")
	return c
}

func (a historyCommands) tail(ctx context.Context, address, query string) error {
	if err := a.usualConfig(); err != nil {
		return err
	}
	if address == "" {
		if address = string(a.config.Listen.HTTP); address == "" {
			address = string(conf.DefaultHTTP)
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
	answer, err := stream(ctx, at, "/v1/tail?q="+url.QueryEscape(query), token)
	if err != nil {
		return failf(exitUnavailable, "cannot follow the daemon at %s: %v", address, err).or("check that it is running and that [listen] http has this address")
	}
	defer answer.Body.Close()
	return a.showTail(ctx, bufio.NewReader(answer.Body), address)
}

func (a historyCommands) showTail(ctx context.Context, in *bufio.Reader, address string) error {
	for {
		line, err := in.ReadBytes('\n')
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return failf(exitUnavailable, "the daemon at %s ended the connection", address)
		case len(line) <= 1: // a keep-alive
			continue
		}
		var v struct {
			history.Verdict
			Missed int64 `json:"missed"`
		}
		if err := json.Unmarshal(line, &v); err != nil {
			return failf(exitUnavailable, "the daemon at %s sent something that is not JSON", address)
		}
		if v.Missed > 0 {
			a.warn("%d verdicts were made faster than they can be shown", v.Missed)
			continue
		}
		if err := a.page().Verdict(&v.Verdict); err != nil {
			return err
		}
		if err := a.flush(); err != nil {
			return err
		}
	}
}

// stream opens a response that continues.
func stream(ctx context.Context, at conf.Address, path, token string) (*http.Response, error) {
	network, address := at.Network()
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, address)
	}}
	host := "localhost"
	if network == "tcp" {
		host = address
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+host+path, nil)
	if err != nil {
		return nil, err
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := transport.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK {
		answer.Body.Close()
		return nil, errors.New("it answers with " + answer.Status)
	}
	return answer, nil
}

func (a historyCommands) domainCommand() *cobra.Command {
	address := ""
	c := &cobra.Command{
		Use:   "domain DOMAIN",
		Short: "Show what this server knows of a domain",
		Long: `Domain shows what the history knows of a domain and the names below it: verdicts by day, who
sends, selectors with the first and last day, and the records that the DNS held, over time.

Exit codes: 0 shown, 66 no history, or nothing is known, 69 the database cannot be reached.`,
		Example: "  postseal domain acme.test",
		Args:    exactly("DOMAIN"),
		RunE: func(c *cobra.Command, args []string) error {
			clock, err := a.clock()
			if err != nil {
				return err
			}
			return a.withStore(c.Context(), address, func(ctx context.Context, db store.Store) error {
				d, err := history.About(ctx, db, args[0], clock(), historyTimeout)
				var wrong *store.QueryError
				switch {
				case errors.As(err, &wrong):
					return notDomain("domain", errors.New(wrong.Text))
				case err != nil:
					return err
				case d.Empty() && !a.wantJSON():
					return failf(exitNoInput, "%s: nothing is known of this domain", d.Domain)
				}
				return a.page().KnownDomain(d)
			})
		},
	}
	addStoreFlag(c, &address)
	return c
}
