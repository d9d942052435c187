// Package cli is the command line of postseal: it turns flags into calls of the
// library, and results into text for people or JSON for programs.
package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"postseal/internal/app/batch"
	"postseal/internal/app/conf"
	"postseal/internal/app/suggest"
	"postseal/internal/app/term"
	"postseal/internal/app/view"
	"postseal/resolver/stub"
)

// app is one run of the program.
type app struct {
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
	getenv func(string) string

	flags      globalFlags
	config     *conf.Config
	client     *stub.Client  // of the network, nil with --zone
	cacheBytes int           // bound of the DNS cache; 0 is the default
	out        *bufio.Writer // where results are written
	file       *outputFile   // of --output, nil is stdout
	style      term.Style    // of out
	errors     term.Style    // of stderr
	code       int           // the most severe exit code so far
}

// Main runs the program and returns its exit code.
func Main(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	a := &app{stdin: stdin, stdout: stdout, stderr: stderr, getenv: os.Getenv}
	a.errors = term.Detect(stderr, term.Auto, a.getenv)
	return a.run(ctx, args)
}

func (a *app) run(ctx context.Context, args []string) (code int) {
	defer func() {
		if p := recover(); p != nil {
			fmt.Fprintf(a.stderr, "error: internal: %v\n%shint: this is a bug in postseal; please report it with the lines above\n", p, debug.Stack())
			code = exitInternal
		}
	}()
	root := a.rootCommand()
	root.SetArgs(negations(args))
	if len(args) > 0 && (args[0] == cobra.ShellCompRequestCmd || args[0] == cobra.ShellCompNoDescRequestCmd) {
		addFlagCompletions(root)
	}
	root.SetContext(ctx)
	if err := root.Execute(); err != nil {
		a.fail(err)
	}
	if a.client != nil {
		a.client.Close()
	}
	if err := a.closeOutput(); err != nil {
		a.fail(err)
	}
	return a.code
}

// setExit records an exit code, keeping the most severe: an error outranks a policy failure,
// which is certain, and that outranks an undecided verdict.
func (a *app) setExit(code int) {
	if severityOf(code) > severityOf(a.code) {
		a.code = code
	}
}

func severityOf(code int) int {
	switch code {
	case exitNo:
		return exitUndecided
	case exitUndecided:
		return exitNo
	}
	return code
}

// fail reports err on stderr and records its exit code.
func (a *app) fail(err error) {
	f := asFailure(err)
	a.setExit(f.code)
	a.flush()
	if a.flags.logFormat == "json" {
		a.logLine(map[string]any{"level": "error", "msg": f.msg, "hint": f.hint, "code": f.code})
		return
	}
	fmt.Fprintf(a.stderr, "%s %s\n", a.errors.Red("error:"), a.lines(f.msg))
	if f.hint != "" {
		a.hint("%s", f.hint)
	}
}

func (a *app) hint(format string, args ...any) { a.tell("info", "hint:", format, args...) }

func (a *app) warn(format string, args ...any) { a.tell("warn", "warning:", format, args...) }

// tell prints a note or a warning on stderr.
func (a *app) tell(level, word, format string, args ...any) {
	if a.flags.quiet {
		return
	}
	a.flush()
	text := fmt.Sprintf(format, args...)
	if a.flags.logFormat == "json" {
		a.logLine(map[string]any{"level": level, "msg": text})
		return
	}
	fmt.Fprintf(a.stderr, "%s %s\n", a.errors.Yellow(word), a.lines(text))
}

func (a *app) logLine(fields map[string]any) {
	line, _ := json.Marshal(fields)
	fmt.Fprintf(a.stderr, "%s\n", line)
}

// lines makes text safe and keeps its line breaks.
func (a *app) lines(text string) string {
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		lines[i] = a.errors.Sanitize(a.errors.Text(l), 0)
	}
	return strings.Join(lines, "\n       ")
}

func (a *app) openOutput(path string) error {
	var w io.Writer = a.stdout
	if path != "" && path != "-" {
		f, err := a.create(path)
		if err != nil {
			var told *failure
			if errors.As(err, &told) {
				return told
			}
			var p *os.PathError
			if errors.As(err, &p) {
				err = p.Err
			}
			return failf(exitCreate, "%s: cannot create the output: %v", path, err)
		}
		a.file, w = f, f
	}
	a.out = bufio.NewWriterSize(w, 32<<10)
	a.style = term.Detect(w, term.Mode(a.flags.color), a.getenv)
	a.errors = term.Detect(a.stderr, term.Mode(a.flags.color), a.getenv)
	return nil
}

// flush writes the buffered output, so that results and diagnostics keep their order on a
// terminal. Later calls return the same error, and closeOutput reports it.
func (a *app) flush() error {
	if a.out == nil {
		return nil
	}
	return a.out.Flush()
}

// create opens the output file, with --resume to continue it.
func (a *app) create(path string) (*outputFile, error) {
	if !a.flags.resume {
		if err := a.keepUnfinished(path); err != nil {
			return nil, err
		}
	}
	f, err := newOutput(path, 0o644)
	if err == nil {
		f.begun = a.flags.resume
	}
	return f, err
}

// keepUnfinished returns an error where path holds the output of a run that was interrupted.
func (a *app) keepUnfinished(path string) error {
	if a.flags.overwrite || !batch.Unfinished(path) {
		return nil
	}
	return failf(exitCreate, "%s is the output of a run that was interrupted", path).
		or("--resume continues one of lines (jsonl), --overwrite starts again; %s marks it", batch.Mark(path))
}

func (a *app) closeOutput() error {
	if a.out == nil {
		return nil
	}
	err := a.flush()
	if a.file != nil {
		err = errors.Join(err, a.file.end(a.code >= exitUsage))
	}
	if err != nil {
		return failf(exitCreate, "cannot write the output: %v", err)
	}
	return nil
}

// page returns where the results of a command are written.
func (a *app) page() *view.Page {
	return &view.Page{W: a.out, Style: a.style, Format: a.flags.format, Quiet: a.flags.quiet, Verbose: a.flags.verbose, Offline: len(a.flags.zones) > 0}
}

func (a *app) json(v any) error { return a.page().Object(v) }

func (a *app) wantJSON() bool { return a.page().JSON() }

func (a *app) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "postseal",
		Short: "Check where mail comes from: SPF, DKIM, ARC and DMARC",
		Long: `postseal checks whether mail really comes from the domain in its From field. It
evaluates SPF, DKIM, ARC and DMARC, decides to accept, quarantine, reject or defer
the message, and explains why.

Exit codes: 0 fine, 1 policy failure, 2 undecided (defer, failed DNS lookup),
64 usage, 65 bad message or record, 66 no such input, 69 daemon unreachable,
70 internal error, 73 cannot create output, 75 try again, 78 configuration.`,
		Example: `  postseal verify --ip 192.0.2.25 --helo out.acme.test --from bounce@acme.test a.eml
  postseal verify --received-by mx.example.net ~/Maildir/cur/*
  postseal spf tree example.com
  postseal lint dmarc "v=DMARC1; p=reject"`,
		SilenceErrors:              true,
		SilenceUsage:               true,
		SuggestionsMinimumDistance: 2,
		Args:                       a.noSuchCommand,
		RunE:                       func(c *cobra.Command, _ []string) error { return c.Help() },
		PersistentPreRunE:          func(c *cobra.Command, _ []string) error { return a.prepare(c) },
	}
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.SetFlagErrorFunc(flagError)
	root.SetUsageTemplate(usageTemplate(root.UsageTemplate()))
	root.Version, _ = buildVersion()
	root.SetVersionTemplate("postseal {{.Version}}\n")
	a.addGlobalFlags(root.PersistentFlags())
	root.AddCommand(
		messageCommands{a}.verifyCommand(),
		replayCommand{a}.command(),
		evidenceCommands{a}.trialCommand(),
		a.migrateCommand(),
		messageCommands{a}.replayBundleCommand(),
		evidenceCommands{a}.explainCommand(),
		evidenceCommands{a}.exemptCommand(),
		recordCommands{a}.spfCommand(),
		recordCommands{a}.dkimCommand(),
		recordCommands{a}.arcCommand(),
		recordCommands{a}.dmarcCommand(),
		auditCommand{a}.command(), a.workerCommand(),
		recordCommands{a}.lintCommand(),
		reportCommands{a}.reportCommand(),
		a.serveCommand(),
		hostCommands{a}.uiCommand(),
		a.policyCommand(),
		configCommands{a}.configCommand(),
		a.rulesCommand(),
		hostCommands{a}.quickstartCommand(),
		hostCommands{a}.setupCommand(),
		hostCommands{a}.doctorCommand(),
		hostCommands{a}.selftestCommand(),
		a.versionCommand(),
	)
	root.AddCommand(historyCommands{a}.commands()...)
	a.addCompletions(root)
	root.SetHelpCommand(a.helpCommand(root))
	return root
}

// ownOutput annotates a command that writes the file of --output itself.
const ownOutput = "own output"

// prepare checks the global flags before a command runs.
func (a *app) prepare(c *cobra.Command) error {
	if isHelper(c) {
		return nil
	}
	a.flags.dnsTimeoutGiven = c.Flags().Changed("dns-timeout")
	if err := a.checkGlobalFlags(c); err != nil {
		return err
	}
	if c.Annotations[ownOutput] != "" {
		if a.flags.output == "-" { // standard output, where the results go anyway
			a.flags.output = ""
		}
		return a.openOutput("")
	}
	return a.openOutput(a.flags.output)
}

// helpCommand is like cobra's, but fails for an unknown command.
func (a *app) helpCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:   "help [command]",
		Short: "Help about any command",
		RunE: func(_ *cobra.Command, args []string) error {
			c, rest, err := root.Find(args)
			if err != nil {
				return usage("%v", err)
			}
			if err := a.noSuchCommand(c, rest); err != nil {
				return err
			}
			c.InitDefaultHelpFlag()
			return c.Help()
		},
	}
}

// isHelper reports whether c is help or completion, which do not have our flags.
func isHelper(c *cobra.Command) bool {
	for ; c.HasParent(); c = c.Parent() {
		switch c.Name() {
		case "help", "completion", cobra.ShellCompRequestCmd, cobra.ShellCompNoDescRequestCmd:
			return true
		}
	}
	return false
}

// noSuchCommand returns an error for an unknown command, with the most similar name.
func (a *app) noSuchCommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var names []string
	for _, sub := range c.Commands() {
		names = append(names, sub.Name())
	}
	f := usage("unknown command %q", c.CommandPath()+" "+args[0])
	if guess := suggest.Of(args[0], names); guess != "" {
		return f.or("did you mean %s %s?", c.CommandPath(), guess)
	}
	return f.or("see %s --help", c.CommandPath())
}

// group returns a command that only contains others.
func (a *app) group(use, short string, subs ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Args: a.noSuchCommand, RunE: func(c *cobra.Command, _ []string) error { return c.Help() }}
	c.AddCommand(subs...)
	return c
}

// exactly requires one argument per name.
func exactly(names ...string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		switch {
		case len(args) < len(names):
			return usage("%s: missing %s", c.CommandPath(), names[len(args)]).or("usage: %s", c.UseLine())
		case len(args) > len(names):
			return usage("%s: %q is one argument too many", c.CommandPath(), args[len(names)]).or("usage: %s", c.UseLine())
		}
		return nil
	}
}

// atMostOne allows one argument.
func atMostOne(c *cobra.Command, args []string) error {
	if len(args) > 1 {
		return usage("%s: %q is one argument too many", c.CommandPath(), args[1]).or("usage: %s", c.UseLine())
	}
	return nil
}
