// Command postseal verifies where mail comes from: SPF, DKIM and DMARC.
package main

import (
	"os"

	"postseal/internal/app/cli"
)

func main() { os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }
