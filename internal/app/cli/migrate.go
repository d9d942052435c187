package cli

import (
	"errors"
	"io"
	"os"

	"github.com/spf13/cobra"

	"postseal/internal/app/migrate"
)

func (a *app) migrateCommand() *cobra.Command {
	from := ""
	c := &cobra.Command{
		Use:   "migrate FILE...",
		Short: "Translate the configuration of opendkim, opendmarc or policyd-spf",
		Long: `Migrate reads the configuration files of opendkim, opendmarc and policyd-spf and prints one
postseal configuration. Comments list every option that behaves differently, including
those with other defaults. It reads the tables of addresses and domains that the
configuration names (refile:, file:, a path), and does not take over the sockets of the old
programs. Test the result with postseal config check and postseal replay.

Exit codes: 0 translated, 64 unknown program, 66 no such file.`,
		Example: `  postseal migrate /etc/opendmarc.conf > postseal.toml
  postseal migrate opendkim.conf opendmarc.conf policyd-spf.conf
  postseal migrate --from policyd-spf --format json spf.conf`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage("migrate: missing FILE").or("usage: %s", c.UseLine())
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error { return a.migrate(from, args) },
	}
	c.Flags().StringVar(&from, "from", "", "`PROGRAM` that the file belongs to: opendkim, opendmarc, policyd-spf (default: by the name of the file)")
	return c
}

// maxForeign limits the size of another program's configuration.
const maxForeign = 1 << 20

type migrateJSON struct {
	Schema string `json:"schema"`
	*migrate.Result
}

func (a *app) migrate(from string, paths []string) error {
	var files []migrate.File
	for _, path := range paths {
		f, err := foreign(from, path)
		if err != nil {
			return err
		}
		files = append(files, *f)
	}
	r, err := migrate.ReadAll(files...)
	if err != nil {
		return usage("%v", err)
	}
	if a.wantJSON() {
		return a.json(migrateJSON{"postseal.migrate/1", r})
	}
	_, err = a.out.WriteString(r.Config)
	return err
}

// foreign reads the configuration of another program. from names the program; "" means that the
// file name decides.
func foreign(from, path string) (*migrate.File, error) {
	if from == "" {
		if from = migrate.Guess(path); from == "" {
			return nil, usage("the name of %s does not show which program it belongs to", path).or("name it with --from opendkim, opendmarc or policyd-spf")
		}
	}
	if err := oneOf("--from", from, migrate.Programs()...); err != nil {
		return nil, err
	}
	data, err := readForeign(path)
	switch {
	case errors.Is(err, errTooLarge):
		return nil, failf(exitData, "%s: %v", path, err)
	case err != nil:
		return nil, openFailure(path, err)
	}
	return &migrate.File{Path: path, Program: from, Data: data, Open: readForeign}, nil
}

var errTooLarge = errors.New("is larger than 1 MiB")

func readForeign(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxForeign+1))
	if err == nil && len(data) > maxForeign {
		err = errTooLarge
	}
	return data, err
}
