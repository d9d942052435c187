package cli

import (
	"errors"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"
	"github.com/spf13/cobra"

	"postseal/internal/app/conf"
)

func (a *app) configCommand() *cobra.Command {
	check := &cobra.Command{
		Use:   "check FILE",
		Short: "Check a configuration file: every error with its place",
		Long: `Check reads a configuration file and prints every error and every warning as
file:line:column: text; --verbose shows the line and marks the place.

Exit codes: 0 it can be used, 66 no such file, 78 it has errors.`,
		Example: `  postseal config check /etc/postseal/postseal.toml`,
		Args:    exactly("FILE"),
		RunE:    func(_ *cobra.Command, args []string) error { return a.configCheck(args[0]) },
	}
	show := &cobra.Command{
		Use:   "show",
		Short: "Print the configuration of --config with every default",
		Long: `Show prints the configuration in force: what --config says, and the default of every
key that it leaves out. Without --config it is what serve runs with then. Passwords are
left out.`,
		Example: `  postseal config show --config /etc/postseal/postseal.toml`,
		Args:    exactly(),
		RunE:    func(*cobra.Command, []string) error { return a.configShow() },
	}
	return a.group("config", "Check and print the configuration", check, show)
}

type problemJSON struct {
	File    string `json:"file"`
	Line    int    `json:"line"`
	Column  int    `json:"column"`
	Text    string `json:"text"`
	Warning bool   `json:"warning"`
}

type configCheckJSON struct {
	Schema   string        `json:"schema"`
	Valid    bool          `json:"valid"`
	Problems []problemJSON `json:"problems"`
}

type configJSON struct {
	Schema string         `json:"schema"`
	Config map[string]any `json:"config"`
}

func (a *app) configCheck(path string) error {
	_, problems, err := conf.Load(path, time.Now())
	var wrong *conf.Error
	switch {
	case errors.As(err, &wrong):
		problems = wrong.Problems
		a.raise(exitConfig)
	case err != nil:
		return openFailure(path, err)
	}
	if a.wantJSON() {
		out := configCheckJSON{Schema: "postseal.config-check/1", Valid: wrong == nil, Problems: []problemJSON{}}
		for _, p := range problems {
			out.Problems = append(out.Problems, problemJSON(p))
		}
		return a.json(out)
	}
	v := &view{app: a, style: a.style}
	var lines []string
	if a.flags.verbose {
		text, _ := os.ReadFile(path) // the line is a help, the problem stands without it
		lines = strings.Split(string(text), "\n")
	}
	for _, p := range problems {
		v.line("%s", a.style.Clean(p.String(), 0))
		if p.Line >= 1 && p.Line <= len(lines) {
			excerpt, column := v.excerpt(strings.ReplaceAll(lines[p.Line-1], "\t", " "), p.Column-1, 3)
			v.line("   %s", v.style.Dim(excerpt))
			v.line("   %*s%s", column, "", v.style.Red("^"))
		}
	}
	if wrong == nil && !a.flags.quiet {
		v.line("%s: ok", a.style.Clean(path, 0))
	}
	return nil
}

func (a *app) configShow() error {
	c := a.config
	if a.flags.config == "" {
		c = conf.Standalone()
	}
	shown := *c
	if u, err := url.Parse(c.Store.URL); err == nil && u.User != nil {
		shown.Store.URL = u.Redacted()
	}
	out, err := toml.Marshal(&shown)
	if err != nil {
		return failf(exitInternal, "%v", err)
	}
	if !a.wantJSON() {
		_, err = a.out.Write(out)
		return err
	}
	j := configJSON{Schema: "postseal.config/1"}
	if err := toml.Unmarshal(out, &j.Config); err != nil { // the names and forms of the file
		return failf(exitInternal, "%v", err)
	}
	return a.json(j)
}
