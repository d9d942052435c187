package cli

import (
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

// released is the version of a release, set by the linker; "" is what the module says.
var released string

// Command returns the command line without running it, for what is generated from it: manual
// pages and completions.
func Command() *cobra.Command {
	a := &app{stdin: strings.NewReader(""), stdout: io.Discard, stderr: io.Discard, getenv: os.Getenv}
	return a.rootCommand()
}
