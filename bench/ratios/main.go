// Program ratios reads the output of go test -bench ./bench on standard input and prints the
// engine beside the floor, of each row the least of its runs. With -check it compares the
// ratios with recorded ones: ratios hold on any machine, times do not.
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

// pairs yields the rows of the engine that have a floor.
func pairs(rows map[string]row) (names []string) {
	for name := range rows {
		if rest, ok := strings.CutPrefix(name, "Engine/"); ok && rows["Floor/"+rest].ns > 0 {
			names = append(names, rest)
		}
	}
	slices.Sort(names)
	return names
}

func print(rows map[string]row) {
	fmt.Printf("%-28s %11s %11s %7s %10s %7s\n", "message", "floor µs", "engine µs", "ratio", "above µs", "allocs")
	for _, name := range pairs(rows) {
		floor, engine := rows["Floor/"+name], rows["Engine/"+name]
		fmt.Printf("%-28s %11.1f %11.1f %7.2f %10.1f %7.0f\n", name, floor.ns/1000, engine.ns/1000, engine.ns/floor.ns,
			(engine.ns-floor.ns)/1000, engine.allocs-floor.allocs)
	}
	fmt.Printf("\n%-34s %11s %9s\n", "shape", "µs", "MB/s")
	for _, name := range slices.Sorted(maps.Keys(rows)) {
		if v := rows[name]; v.mbps > 0 && !strings.HasPrefix(name, "Engine/") && !strings.HasPrefix(name, "Floor/") {
			fmt.Printf("%-34s %11.1f %9.0f\n", name, v.ns/1000, v.mbps)
		}
	}
}

func write(rows map[string]row, path string) error {
	var b strings.Builder
	for _, name := range pairs(rows) {
		fmt.Fprintf(&b, "%s %.2f\n", name, rows["Engine/"+name].ns/rows["Floor/"+name].ns)
	}
	return os.WriteFile(path, []byte(b.String()), 0o644)
}

func compare(rows map[string]row, path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var worse []string
	for recorded := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSpace(recorded), " ")
		most, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return fmt.Errorf("%s: %q is no ratio", path, recorded)
		}
		floor, engine := rows["Floor/"+name], rows["Engine/"+name]
		if floor.ns == 0 || engine.ns == 0 {
			return fmt.Errorf("%s was not measured", name)
		}
		ratio := engine.ns / floor.ns
		fmt.Printf("%-28s %.2f times the floor, recorded %.2f\n", name, ratio, most)
		if ratio > most*slack {
			worse = append(worse, name)
		}
	}
	if len(worse) > 0 {
		return fmt.Errorf("more than %.1f times the recorded ratio: %s", slack, strings.Join(worse, ", "))
	}
	return nil
}
