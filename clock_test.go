package postseal_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// wallClock are the files that may make a number of a time or take its monotonic reading
// off it, and why the wall clock is right there. Elsewhere ages, deadlines and pauses are
// differences of time.Now, which a step of the clock does not touch.
var wallClock = map[string]string{
	"dkim/verify.go":             "t= and x= are wall time (RFC 6376 §3.5)",
	"arc/validate.go":            "t= and x= are wall time (RFC 8617 §4.1.2)",
	"spf/evaluate.go":            "the macro t is wall time (RFC 7208 §7.3)",
	"ref.go":                     "only tells references apart",
	"store/evidence/folder.go":   "the age of a bundle outlives the process: Folder.order",
	"store/journal/journal.go":   "numbers segments, across processes",
	"store/day.go":               "history is kept by wall time, across processes and hosts",
	"server/listener/metrics.go": "shown, not compared",
	"server/stream.go":           "numbers the frames of a stream, across processes",
	"server/attention.go":        "shown, not compared",
	"server/trial.go":            "shown, not compared",
	"server/auditruns.go":        "shown, not compared",
	"server/suggestions.go":      "shown, not compared",
	"server/exempts.go":          "the days of entries and of the history are wall time",
	"server/loglevel.go":         "shown, not compared",
	"server/system.go":           "shown, not compared",
	"server/systemconfig.go":     "shown, not compared",
	"server/web/refusal/page.go": "shown, not compared",
	"server/web/ui/funcs.go":     "shown, not compared",
	"server/web/ui/frame.go":     "shown, not compared",
	"server/web/ui/waterfall.go": "a duration is rounded",
	"server/web/ui/live.go":      "the hours of the history are wall time",
	"server/web/ui/message.go":   "shown, not compared",
	"server/web/ui/search.go":    "searches are by wall time",
	"server/web/ui/ui.go":        "shown, not compared",
	"server/listener/log.go":     "written down, not compared",
}

// TestWallClock keeps the wall clock out of the listeners and the library.
func TestWallClock(t *testing.T) {
	numbers := map[string]bool{"Unix": true, "UnixNano": true, "UnixMilli": true, "UnixMicro": true, "UTC": true, "Local": true, "In": true, "Round": true}
	used := map[string]bool{}
	for _, dir := range []string{".", "spf", "dkim", "arc", "dmarc", "authres", "message", "resolver", "store", "server"} {
		err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case e.IsDir() && path != "." && (dir == "." || e.Name() == "dnstest"):
				return fs.SkipDir
			case e.IsDir(), !strings.HasSuffix(path, ".go"), strings.HasSuffix(path, "_test.go"):
				return nil
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok || len(call.Args) > 1 {
					return true
				}
				if f, ok := call.Fun.(*ast.SelectorExpr); ok && numbers[f.Sel.Name] {
					if pkg, ok := f.X.(*ast.Ident); ok && (pkg.Name == "time" || pkg.Name == "math") {
						return true
					}
					used[path] = true
					if wallClock[path] == "" {
						t.Errorf("%s: %s loses the monotonic reading of a time: see wallClock", path, f.Sel.Name)
					}
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for path := range wallClock {
		if !used[path] {
			t.Errorf("%s needs no exception", path)
		}
	}
}
