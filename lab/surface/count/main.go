//go:build surface

// Count prints how many names the library packages export: one row per package, and the sum.
//
//	go run -tags surface ./lab/surface/count [DIRECTORY]
package main

import (
	"fmt"
	"os"
	"text/tabwriter"

	"postseal/lab/surface"
)

func main() {
	dir := "."
	if len(os.Args) > 1 {
		dir = os.Args[1]
	}
	loaded, err := surface.Load(dir)
	if err != nil {
		fmt.Fprintln(os.Stderr, "count:", err)
		os.Exit(1)
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "package\ttypes\tfunctions\tmethods\tfields\tall\t(constants and variables)\t")
	sum := surface.Count{Package: "all"}
	row := func(c surface.Count) {
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t\n", c.Package, c.Types, c.Functions, c.Methods, c.Fields, c.Total(), c.Values)
	}
	for _, p := range loaded {
		c := surface.Of(p.Types)
		row(c)
		sum.Types, sum.Functions, sum.Methods = sum.Types+c.Types, sum.Functions+c.Functions, sum.Methods+c.Methods
		sum.Fields, sum.Values = sum.Fields+c.Fields, sum.Values+c.Values
	}
	row(sum)
	_ = w.Flush()
}
