// Command build bundles the scripts of the console: ts/app.ts and what it imports become
// dist/app.js, the same octets on every machine. It is its own module, so that esbuild is not a
// dependency of postseal. Run it with "go generate ./server/web/ui".
package main

import (
	"fmt"
	"os"

	"github.com/evanw/esbuild/pkg/api"
)

func main() {
	result := api.Build(api.BuildOptions{
		EntryPoints: []string{"../ts/app.ts"}, Outfile: "../dist/app.js", Write: true, Bundle: true,
		MinifyWhitespace: true, MinifySyntax: true, MinifyIdentifiers: true,
		Format: api.FormatIIFE, Target: api.ES2020, Charset: api.CharsetASCII, LegalComments: api.LegalCommentsNone, LogLevel: api.LogLevelWarning,
	})
	if len(result.Errors) > 0 {
		fmt.Fprintln(os.Stderr, "build: the scripts have errors")
		os.Exit(1)
	}
}
