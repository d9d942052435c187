package ui

import (
	"fmt"
	"html/template"
	"math"
	"net/netip"
	"slices"
	"strings"
	"time"

	"postseal/audit"
	"postseal/internal/app/history"
	"postseal/store"
)

// funcs are the functions of the templates.
var funcs = template.FuncMap{
	"shows":        func() []liveShow { return liveShows },
	"tone":         func(action any) string { return tone(fmt.Sprint(action)) },
	"symbol":       symbol,
	"clock":        func(t time.Time) string { return t.UTC().Format("15:04:05") },
	"day":          func(t time.Time) string { return t.UTC().Format("2\u00a0Jan 15:04:05") },
	"stamp":        func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
	"date":         func(t time.Time) string { return t.UTC().Format("2 Jan 2006") },
	"share":        share,
	"spark":        spark,
	"sparkWords":   sparkWords,
	"wholeShare":   wholeShare,
	"shareOf":      func(n, of int64) shareText { return shareText{wholeShare(n, of), percentOf(n, of)} },
	"plural64":     func(n int64, one, many string) string { return plural(int(n), one, many) },
	"percentText":  percentText,
	"judged":       judgementTone,
	"todo":         todoWords,
	"octets":       octetText,
	"changed":      changedText,
	"inSPF":        spfWords,
	"whoWords":     whoWords,
	"sourceLink":   sourceLink,
	"ref":          dashed,
	"network":      networkOf,
	"link":         searchLink,
	"number":       number,
	"percent":      func(share float64) string { return fmt.Sprintf("%.1f%%", share*100) },
	"megabyte":     func(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) },
	"mark":         markOf,
	"verdictWord":  func(v *history.Verdict) string { return actionNames[v.Applied] },
	"severityTone": severityTone,
	"severityWord": severityWord,
	"gradeTone":    func(g any) string { return gradeTone(fmt.Sprint(g)) },
	"every":        func(s string) string { return strings.TrimSuffix(strings.TrimSuffix(s, "0s"), "0m") },
	"duration":     func(seconds int) string { return (time.Duration(seconds) * time.Second).String() },
	"millis":       func(micros int64) string { return milliseconds(time.Duration(micros) * time.Microsecond) },
	"checkTone":    checkTone,
	"when":         when,
	"recordAt":     recordAt,
	"spfLines":     spfLines,
	"rowOf":        rowOf,
	"sentence":     sentence,
	"number64":     func(n any) string { return number(toInt(n)) },
	"int64":        func(n int) int64 { return int64(n) },
	"ms":           func(ms float64) string { return milliseconds(time.Duration(ms * float64(time.Millisecond))) },
	"seconds": func(ms int64) string {
		return (time.Duration(ms) * time.Millisecond).Round(100 * time.Millisecond).String()
	},
	"skew":     skewText,
	"marked":   func(mark, text string) string { return mark + strings.ReplaceAll(text, "\n", "\n"+mark) },
	"hitShare": hitShare,
	"at":       store.Time,
	"plural":   plural,
	"minus1":   func(n int) int { return n - 1 },
}

// severityTone is the class of a finding, "" for one that only informs.
func severityTone(s audit.Severity) string {
	return map[audit.Severity]string{audit.Critical: "bad", audit.Error: "bad", audit.Warn: "warn"}[s]
}

// severityWord is the word for a finding, as a person says it.
func severityWord(s audit.Severity) string {
	if s == audit.Warn {
		return "warning"
	}
	return string(s)
}

// gradeTone is the class of a grade; "" is one that could not be given.
func gradeTone(grade string) string {
	switch grade {
	case "A", "B":
		return "ok"
	case "C", "D":
		return "warn"
	case "":
		return "hold"
	}
	return "bad"
}

// tone is the class of an action: its color.
func tone(action string) string {
	switch action {
	case "accept":
		return "ok"
	case "quarantine":
		return "warn"
	case "reject":
		return "bad"
	case "defer":
		return "hold"
	}
	return "none"
}

// symbol is the shape of a result word.
func symbol(result string) string {
	switch result {
	case "pass":
		return "ok"
	case "fail", "permerror", "policy":
		return "bad"
	case "softfail", "neutral":
		return "warn"
	case "temperror":
		return "hold"
	}
	return "none"
}

// Mark is a result in a table cell: its shape, its color and its text for screen readers.
type Mark struct{ Symbol, Tone, Words string }

// markOf returns the mark of a mechanism. A pass that does not count for the author is gray,
// never green: a forger's own SPF passes too.
func markOf(v *history.Verdict, method string) Mark {
	result := map[string]string{"SPF": v.SPF, "DKIM": v.DKIM, "DMARC": v.DMARC}[method]
	if result == "" {
		result = "none"
	}
	m := Mark{Symbol: symbol(result), Tone: symbol(result), Words: result}
	if result != "pass" || method == "DMARC" {
		return m
	}
	for _, c := range v.CountsForAuthor {
		if strings.EqualFold(c, method) {
			return m
		}
	}
	if method == "DKIM" && authorBroken(v) {
		return Mark{Symbol: "bad", Tone: "bad", Words: "broken, though another domain's passes"}
	}
	return Mark{Symbol: "ok", Tone: "none", Words: "pass, but not for the author"}
}

// authorBroken reports whether a signature of the author's own domain failed.
func authorBroken(v *history.Verdict) bool {
	return slices.ContainsFunc(v.Signatures, func(s history.Signature) bool {
		return strings.EqualFold(s.Domain, v.Author) && s.Result == "fail"
	})
}

// dashed writes a reference with a dash, so that it can be read aloud.
func dashed(ref string) string {
	if len(ref) == 8 {
		return ref[:4] + "-" + ref[4:]
	}
	return ref
}

// networkOf returns the network by which repeats are folded: /24 or /48.
func networkOf(client string) string {
	ip, err := netip.ParseAddr(client)
	if err != nil {
		return client
	}
	return history.Network(ip).String()
}

// number writes an integer with commas.
func number(n any) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// toInt converts the counts of other packages, for number.
func toInt(n any) int {
	switch n := n.(type) {
	case uint64:
		return int(min(n, math.MaxInt))
	case int64:
		return int(n)
	}
	return 0
}

// skewText says by how much a clock is ahead or behind.
func skewText(ms int64) string {
	const exact = 100 // about what the way to the database adds
	if -exact < ms && ms < exact {
		return "right"
	}
	d := time.Duration(ms) * time.Millisecond
	return d.Abs().String() + map[bool]string{true: " ahead", false: " behind"}[ms > 0]
}

// hitShare is the part of the questions that the cache answered.
func hitShare(r ResolverState) string {
	if r.Hits+r.Misses == 0 {
		return "no question yet"
	}
	return fmt.Sprintf("%.1f%%", float64(r.Hits)/float64(r.Hits+r.Misses)*100)
}

// when is a time of day, with its date unless that is today, in UTC.
func when(t, now time.Time) string {
	if t.UTC().Format(time.DateOnly) == now.UTC().Format(time.DateOnly) {
		return t.UTC().Format("15:04:05")
	}
	return t.UTC().Format("2\u00a0Jan 15:04:05")
}

// tableRow is a verdict in a table, or several that repeat it.
type tableRow struct {
	*history.Verdict
	Times  int // how many
	Now    time.Time
	Within string // the search that the table shows
}

func rowOf(v *history.Verdict, times int, now time.Time, within string) tableRow {
	return tableRow{v, max(times, 1), now, within}
}

// sentence begins with a capital letter and ends with a full stop.
func sentence(s string) string {
	if s == "" {
		return ""
	}
	s = strings.ToUpper(s[:1]) + strings.TrimSuffix(s[1:], ".")
	if strings.HasSuffix(s, "?") {
		return s
	}
	return s + "."
}

// octetText is a size for people: "" for none.
func octetText(n int64) string {
	const k = 1024
	switch {
	case n == 0:
		return ""
	case n < k:
		return number(n) + " B"
	case n < k*k:
		return fmt.Sprintf("%.1f KiB", float64(n)/k)
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/(k*k))
}
