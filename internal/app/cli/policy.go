package cli

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"log/syslog"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"postseal/server"
	"postseal/server/listener"
	"postseal/server/policy"
)

func (a *app) policyCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "policy",
		Short: "Answer Postfix's policy requests on standard input",
		Long: `Policy reads requests of Postfix's SMTPD access policy protocol from standard input and
answers them until it ends: for spawn(8) of Postfix and for tests by hand. [spf] and
[policy] of the configuration decide what it rejects. postseal serve does the same on a
socket, with one shared cache, and is better if you receive a lot of mail.

It logs each evaluation on standard error; under spawn(8), where standard error is the
connection, to syslog.`,
		Example: `  printf 'request=smtpd_access_policy\nprotocol_state=RCPT\nclient_address=192.0.2.7\n'\
'helo_name=x.test\nsender=a@acme.test\n\n' | postseal policy`,
		Args: exactly(),
		RunE: func(c *cobra.Command, _ []string) error { return a.policy(c.Context()) },
	}
}

func (a *app) policy(ctx context.Context) error {
	log := a.policyLog()
	clock, err := a.clock()
	if err != nil {
		return err
	}
	dns, err := a.resolver()
	if err != nil {
		return err
	}
	c := a.config
	if c.AuthservID == "" {
		c.AuthservID = server.Hostname()
	}
	config, _ := c.Engine()
	config.Resolver, config.Now = dns, clock
	snapshot, err := listener.NewSnapshot(c, config)
	if err != nil {
		return failf(exitConfig, "%s", strings.TrimPrefix(err.Error(), "postseal: "))
	}
	version, _ := buildVersion()
	e := listener.NewEngine(snapshot, log, listener.NewMetrics(version))
	defer e.Close()
	ended := make(chan error, 1)
	go func() { ended <- policy.New(e).Speak(ctx, a.stdin, a.stdout) }()
	select {
	case err = <-ended:
	case <-ctx.Done(): // reading standard input ends with the program
	}
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return failf(exitData, "policy: standard input ends within a request").or("a request ends with an empty line")
	case err != nil:
		return failf(exitData, "policy: %v", err)
	}
	return nil
}

// policyLog returns standard error, or syslog if standard error is the connection to Postfix.
// Only answers may be written there, not even an error about syslog.
func (a *app) policyLog() *slog.Logger {
	format := listener.LogFormat(a.flags.logFormat)
	if !sameSocket(a.stdout, a.stderr) {
		if a.flags.quiet {
			return slog.New(slog.DiscardHandler)
		}
		return listener.NewLogger(a.stderr, format, slog.LevelInfo)
	}
	a.stderr = io.Discard
	w, err := syslog.New(syslog.LOG_MAIL|syslog.LOG_INFO, "postseal")
	if err != nil {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{ReplaceAttr: withoutTime}))
}

// withoutTime omits the time, because syslog adds it.
func withoutTime(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return listener.Printable(groups, a)
}

// sameSocket reports whether two streams are the same socket.
func sameSocket(a, b io.Writer) bool {
	fa, aIsFile := a.(*os.File)
	fb, bIsFile := b.(*os.File)
	if !aIsFile || !bIsFile {
		return false
	}
	sa, errA := fa.Stat()
	sb, errB := fb.Stat()
	return errA == nil && errB == nil && sa.Mode()&os.ModeSocket != 0 && os.SameFile(sa, sb)
}
