package view

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"unicode"

	"postseal/bundle"
	"postseal/internal/app/explain"
	"postseal/internal/app/term"
	"postseal/testdata/vectors/attack"
)

// FuzzViews: what people see of any verdict, short, long and explained, are printable
// characters and line endings.
func FuzzViews(f *testing.F) {
	for _, file := range []string{"from-nul.txtar", "results-forged-many.txtar", "from-encoded-word.txtar", "spf-macro-bomb.txtar", "replay-two-fields-above.txtar", "arc-garbage.txtar"} {
		data, err := attack.Files.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte("now: 2026-01-05T00:00:00Z\n-- envelope --\nip 192.0.2.1 helo \"\\x1b[31m\" from \"<a\\r\\n@\\u202eb.test>\"\n-- zone --\nb.test. TXT \"v=spf1 exp=b.test -\\027all\"\n-- message --\nFrom: =?utf-8?q?=1b?= <a@b.test>\nDKIM-Signature: d=\x1b; b=\x07\n\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := bundle.Parse(data)
		if err != nil {
			return
		}
		r, err := b.Run(t.Context())
		if err != nil {
			return
		}
		config, err := b.Config()
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		p := &Page{W: &out, Style: term.Style{UTF8: true}, Format: "text"}
		m := &Message{Report: r, Name: "x", Envelope: []string{}, Trace: true}
		short := *p
		short.Quiet = true
		story := &Explanation{Explanation: explain.Of(r, &config), File: "x", Missing: bundle.Missing(r), Differences: b.Check(r)}
		replayed := &Replayed{File: "x", Bundle: b, Report: r, Differences: b.Check(r), Missing: bundle.Missing(r)}
		if err := errors.Join(p.Message(m), short.Message(m), p.Explain(story), p.Replayed(replayed)); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(out.String()) {
			if i := strings.IndexFunc(strings.TrimSuffix(line, "\n"), func(c rune) bool { return !unicode.IsPrint(c) }); i >= 0 {
				t.Fatalf("octet %d of %q is not printable", i, line)
			}
		}
	})
}
