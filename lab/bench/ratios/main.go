// Program ratios reads the output of go test -bench on standard input and prints the engine
// compared with the floor and replay compared with the engine, for each row the least of its
// runs. With -check it compares the ratios with recorded ones: ratios hold on any machine,
// times do not.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// slack is how many times a recorded ratio may be exceeded: a busy machine is noisy.
const slack = 1.6

func main() {
	check := flag.String("check", "", "compare with the ratios recorded in `FILE`")
	record := flag.String("record", "", "record the ratios in `FILE`")
	flag.Parse()
	rows, err := read(os.Stdin)
	switch {
	case err != nil:
	case *check != "":
		err = compare(rows, *check)
	case *record != "":
		err = write(rows, *record)
	default:
		print(rows)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "ratios:", err)
		os.Exit(1)
	}
}

// row is one benchmark.
type row struct{ ns, mbps, allocs float64 }

var line = regexp.MustCompile(`^Benchmark(\S+?)(?:-\d+)?\s+\d+\s+([\d.]+) ns/op(?:\s+([\d.]+) MB/s)?(?:\s+\d+ B/op\s+(\d+) allocs/op)?`)

// read takes the least time of each benchmark.
func read(r io.Reader) (map[string]row, error) {
	rows := map[string]row{}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		m := line.FindStringSubmatch(lines.Text())
		if m == nil {
			if strings.HasPrefix(lines.Text(), "FAIL") {
				return nil, fmt.Errorf("the benchmarks failed")
			}
			continue
		}
		var v row
		v.ns, _ = strconv.ParseFloat(m[2], 64)
		v.mbps, _ = strconv.ParseFloat(m[3], 64)
		v.allocs, _ = strconv.ParseFloat(m[4], 64)
		if old, ok := rows[m[1]]; !ok || v.ns < old.ns {
			rows[m[1]] = v
		}
	}
	return rows, lines.Err()
}

// pair is a benchmark and the one that it is compared with.
type pair struct {
	name      string
	base, row row
}

func (p pair) ratio() float64 { return p.row.ns / p.base.ns }

// engines are the rows of the engine that have a floor.
func engines(rows map[string]row) []pair { return pairs(rows, "Engine/", "Floor/", "") }

// replays are the rows of replay, compared with the engine on messages that are ready for it.
func replays(rows map[string]row) []pair {
	return append(pairs(rows, "Replay/maildir/", "Engine/smtp/", "replay/maildir/"), pairs(rows, "Replay/mbox/", "Engine/smtp/", "replay/mbox/")...)
}

// pairs are the rows whose name is the prefix of, each with the row of the same name after the
// prefix by; as begins their name.
func pairs(rows map[string]row, of, by, as string) (all []pair) {
	for _, name := range slices.Sorted(maps.Keys(rows)) {
		if rest, ok := strings.CutPrefix(name, of); ok && rows[by+rest].ns > 0 {
			all = append(all, pair{as + rest, rows[by+rest], rows[name]})
		}
	}
	return all
}

func print(rows map[string]row) {
	if all := engines(rows); len(all) > 0 {
		fmt.Printf("%-28s %11s %11s %7s %10s %7s\n", "message", "floor µs", "engine µs", "ratio", "above µs", "allocs")
		for _, p := range all {
			fmt.Printf("%-28s %11.1f %11.1f %7.2f %10.1f %7.0f\n", p.name, p.base.ns/1000, p.row.ns/1000, p.ratio(),
				(p.row.ns-p.base.ns)/1000, p.row.allocs-p.base.allocs)
		}
	}
	if all := replays(rows); len(all) > 0 {
		fmt.Printf("%-28s %11s %11s %7s\n", "message", "engine µs", "replay µs", "rate")
		for _, p := range all {
			fmt.Printf("%-28s %11.1f %11.1f %7.2f\n", p.name, p.base.ns/1000, p.row.ns/1000, 1/p.ratio())
		}
	}
	title := fmt.Sprintf("\n%-34s %11s %9s\n", "shape", "µs", "MB/s")
	for _, name := range slices.Sorted(maps.Keys(rows)) {
		if v := rows[name]; v.mbps > 0 && !strings.HasPrefix(name, "Engine/") && !strings.HasPrefix(name, "Floor/") {
			fmt.Printf("%s%-34s %11.1f %9.0f\n", title, name, v.ns/1000, v.mbps)
			title = ""
		}
	}
}

func write(rows map[string]row, path string) error {
	var b strings.Builder
	for _, p := range append(engines(rows), replays(rows)...) {
		fmt.Fprintf(&b, "%s %.2f\n", p.name, p.ratio())
	}
	return os.WriteFile(path, []byte(b.String()), 0o644)
}

func compare(rows map[string]row, path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	measured := append(engines(rows), replays(rows)...)
	var worse []string
	for recorded := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSpace(recorded), " ")
		most, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return fmt.Errorf("%s: %q is no ratio", path, recorded)
		}
		i := slices.IndexFunc(measured, func(p pair) bool { return p.name == name })
		if i < 0 {
			return fmt.Errorf("%s was not measured", name)
		}
		ratio := measured[i].ratio()
		fmt.Printf("%-28s %.2f times the base, recorded %.2f\n", name, ratio, most)
		if ratio > most*slack {
			worse = append(worse, name)
		}
	}
	if len(worse) > 0 {
		return fmt.Errorf("more than %.1f times the recorded ratio: %s", slack, strings.Join(worse, ", "))
	}
	return nil
}
