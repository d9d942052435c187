package cli

import (
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

// released is the version of a release, set by the linker; if it is "", the version of the module is used.
var released string

// Command returns the command line without running it, to generate manual pages and
// completions.
func Command() *cobra.Command {
	a := &app{stdin: strings.NewReader(""), stdout: io.Discard, stderr: io.Discard, getenv: os.Getenv}
	root := a.rootCommand()
	addFlagCompletions(root)
	return root
}
