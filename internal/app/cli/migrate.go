package cli

import (
	"io"
	"os"

	"github.com/spf13/cobra"

	"postseal/internal/app/migrate"
)

func (a *app) migrateCommand() *cobra.Command {
	from := ""
	c := &cobra.Command{
		Use:   "migrate FILE",
		Short: "Translate the configuration of opendkim, opendmarc or policyd-spf",
		Long: `Migrate reads the configuration file of opendkim, opendmarc or policyd-spf and prints ours,
with every option that behaves otherwise in comments, those with differing defaults too.
Files that it names are not read. Join the outcomes of several programs by hand, and try the
result with postseal config check and postseal replay.

Exit codes: 0 translated, 64 the program is not known, 66 no such file.`,
		Example: `  postseal migrate /etc/opendmarc.conf > postseal.toml
  postseal migrate --from policyd-spf --format json spf.conf`,
		Args: exactly("FILE"),
		RunE: func(_ *cobra.Command, args []string) error { return a.migrate(from, args[0]) },
	}
	c.Flags().StringVar(&from, "from", "", "`PROGRAM` that the file is of: opendkim, opendmarc, policyd-spf (default: by the name of the file)")
	return c
}

// maxForeign bounds what is read of a configuration of others.
const maxForeign = 1 << 20

type migrateJSON struct {
	Schema string `json:"schema"`
	*migrate.Result
}

func (a *app) migrate(from, path string) error {
	if from == "" {
		if from = migrate.Guess(path); from == "" {
			return usage("the name of %s does not tell the program that it is of", path).or("name it with --from opendkim, opendmarc or policyd-spf")
		}
	}
	if err := oneOf("--from", from, migrate.Programs()...); err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return openFailure(path, err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxForeign+1))
	switch {
	case err != nil:
		return openFailure(path, err)
	case len(data) > maxForeign:
		return failf(exitData, "%s: is larger than 1 MiB", path)
	}
	r, err := migrate.Read(from, data)
	if err != nil {
		return usage("%v", err)
	}
	if a.wantJSON() {
		return a.json(migrateJSON{"postseal.migrate/1", r})
	}
	_, err = a.out.WriteString(r.Config)
	return err
}
