package cli

import (
	"os"

	"github.com/spf13/cobra"

	"postseal/audit"
)

func (a recordCommands) lintZoneCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "zone FILE",
		Short: "Check the records of a zone file, without querying the DNS",
		Long: `Zone looks at each SPF, DKIM, DMARC, MTA-STS, TLS-RPT, BIMI, CAA and TLSA record of a
zone file separately. To evaluate records together, use postseal audit --zone FILE DOMAIN.

Exit codes: 0 no error, 1 errors, 65 not a zone file.`,
		Args: exactly("FILE"),
		RunE: func(_ *cobra.Command, args []string) error { return a.lintZone(args[0]) },
	}
}

func (a recordCommands) lintZone(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return openFailure(path, err)
	}
	defer file.Close()
	list, err := audit.LintZone(file, path)
	if err != nil {
		return failf(exitData, "%v", err).or("a zone file has lines like: example.com. 3600 TXT \"v=spf1 -all\"")
	}
	for _, f := range list {
		if f.Severity.Rank() >= audit.Error.Rank() {
			a.setExit(exitNo)
		}
	}
	return a.page().LintZone(path, list)
}
