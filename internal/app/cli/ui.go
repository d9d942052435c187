package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"postseal/internal/app/conf"
	"postseal/server/listener"
	"postseal/server/web"
)

func (a hostCommands) uiCommand() *cobra.Command {
	var address string
	c := &cobra.Command{
		Use:   "ui",
		Short: "Print the address of the console, with a link that logs you in once",
		Long: `Ui asks the running daemon for a link that opens its console in a browser. The link works
once, within five minutes. From another machine, forward the port first, for example with
ssh -L 8896:127.0.0.1:8896 mx.example.net.

Exit codes: 0 printed, 69 the daemon cannot be reached, 78 no token.`,
		Args: exactly(),
		RunE: func(c *cobra.Command, _ []string) error { return a.ui(c.Context(), address) },
	}
	c.Flags().StringVar(&address, "address", "", "`ADDRESS` of the http listener (default: [listen] http)")
	c.AddCommand(a.uiUserCommand())
	return c
}

// daemonAddress returns the http listener of the running daemon.
func (a hostCommands) daemonAddress(flag string) (at conf.Address, err error) {
	if flag == "" {
		flag = string(a.config.Listen.HTTP)
	}
	if flag == "" {
		return "", failf(exitConfig, "the configuration has no http listener").or("set [listen] http = %q", conf.DefaultHTTP)
	}
	if err := at.UnmarshalText([]byte(flag)); err != nil {
		return "", usage("--address: %v", err)
	}
	return at, nil
}

func (a hostCommands) ui(ctx context.Context, flag string) error {
	if err := a.usualConfig(); err != nil {
		return err
	}
	at, err := a.daemonAddress(flag)
	if err != nil {
		return err
	}
	token, err := listener.ConfiguredToken(a.config)
	if err != nil {
		return failf(exitConfig, "%v", err)
	}
	if token == "" {
		return failf(exitConfig, "the token of the console cannot be read: %s", conf.ConsoleToken()).or("run it as root or as the user of the daemon, after the daemon has started once")
	}
	var code web.LoginCode
	if err := call(ctx, http.MethodPost, at, "/v1/login-codes", token, &code); err != nil {
		return failf(exitUnavailable, "cannot reach the daemon at %s: %v", at, err).or("check that it is running and that [listen] http has this address")
	}
	network, host := at.Network()
	if network != "tcp" {
		host = "localhost"
	}
	if a.page().JSON() {
		return a.json(struct {
			web.LoginCode
			URL string `json:"url"`
		}{code, "http://" + host + code.Path})
	}
	return a.page().UI("http://"+host+code.Path, time.Duration(code.Seconds)*time.Second)
}

// call sends a request to the daemon, which may require a token, and reads its JSON.
func call(ctx context.Context, method string, at conf.Address, path, token string, into any) error {
	const longest, patience = 16 << 20, 10 * time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	network, address := at.Network()
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, address)
	}}
	host := "localhost"
	if network == "tcp" {
		host = address
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://"+host+path, bytes.NewReader(nil))
	if err != nil {
		return err
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := transport.RoundTrip(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return errors.New("it answers " + fmt.Sprintf("%.60q", answer.Status))
	}
	return json.NewDecoder(io.LimitReader(answer.Body, longest)).Decode(into)
}

func (a hostCommands) uiUserCommand() *cobra.Command {
	role := string(listener.ReaderRole)
	c := &cobra.Command{
		Use:   "user NAME",
		Short: "Print a line for the file of [web] users",
		Long: `User reads a password from stdin and prints the line that lets NAME log in to the console
with it: name, role, and an argon2id hash. Append it to the file that [web] users names, and
reload the daemon. A reader sees and exports; an admin also changes things.

Exit codes: 0 printed.`,
		Example: `  sudo sh -c 'postseal ui user ann --role admin >> /etc/postseal/users'`,
		Args:    exactly("NAME"),
		RunE:    func(_ *cobra.Command, args []string) error { return a.uiUser(args[0], role) },
	}
	c.Flags().StringVar(&role, "role", role, "`ROLE` of the person: reader, admin")
	return c
}

func (a hostCommands) uiUser(name, role string) error {
	if err := oneOf("--role", role, string(listener.ReaderRole), string(listener.AdminRole)); err != nil {
		return err
	}
	const longest = 1 << 10
	a.hint("type the password, then Enter")
	password, err := bufio.NewReader(io.LimitReader(a.stdin, longest)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return failf(exitNoInput, "the password cannot be read: %v", err)
	}
	line, err := listener.UserLine(name, listener.Role(role), strings.TrimRight(password, "\r\n"))
	if err != nil {
		return usage("%v", err)
	}
	_, err = fmt.Fprintln(a.out, line)
	return err
}
