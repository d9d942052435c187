package cli

import (
	"os"

	"github.com/spf13/cobra"

	"postseal/audit"
	"postseal/internal/app/term"
)

func (a *app) lintZoneCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "zone FILE",
		Short: "Check the records of a zone file, without asking the DNS",
		Long: `Zone looks at each SPF, DKIM, DMARC, MTA-STS, TLS-RPT, BIMI, CAA and TLSA record of a
zone file by itself. What several records come to, postseal audit --zone FILE DOMAIN tells.

Exit codes: 0 no error, 1 errors, 65 no zone file.`,
		Args: exactly("FILE"),
		RunE: func(_ *cobra.Command, args []string) error { return a.lintZone(args[0]) },
	}
}

type lintZoneJSON struct {
	Schema   string          `json:"schema"`
	File     string          `json:"file"`
	Findings []audit.Finding `json:"findings"`
}

func (a *app) lintZone(path string) error {
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
			a.raise(exitNo)
		}
	}
	if a.wantJSON() {
		return a.json(lintZoneJSON{"postseal.lint-zone/1", path, append([]audit.Finding{}, list...)})
	}
	v := &auditView{view: &view{app: a, style: a.style}, report: &audit.Report{}}
	if len(list) == 0 {
		v.line(" %s nothing to mend", v.style.Symbol(term.Good))
	}
	for i := range list {
		v.line(" %s", v.style.Dim(v.clean(list[i].Where.Name)))
		v.finding(&list[i])
	}
	return nil
}
