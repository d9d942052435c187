package conf

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func parsed(t *testing.T, text string) *Config {
	t.Helper()
	c, _, err := Parse("p.toml", []byte(text), time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestKeys: each key is listed once with what the reference says, and only keys that the file
// changes are not defaults. No password is shown.
func TestKeys(t *testing.T) {
	t.Setenv("STATE_DIRECTORY", t.TempDir())
	c := parsed(t, "enforce = 'strict'\n[dns]\ncache = '64MiB'\n[store]\nurl = 'postgres://p:hunter2@db.test/p'\n[[exempt]]\ndkim = 'a.test'\nwhy = 'x'\nuntil = 2027-01-01\n[[exempt]]\nip = '192.0.2.1'\n")
	keys, err := c.Keys()
	if err != nil {
		t.Fatal(err)
	}
	seen, changed := map[string]bool{}, []string{}
	for _, k := range keys {
		if seen[k.Path] {
			t.Errorf("%s twice", k.Path)
		}
		seen[k.Path] = true
		if About(k.Path) == "" && !slices.Contains(entryTables, k.Path) {
			t.Errorf("the reference says nothing about %s", k.Path)
		}
		if !k.Default {
			changed = append(changed, k.Path+"="+k.Value)
		}
		if strings.Contains(k.Value, "hunter2") {
			t.Errorf("%s shows a password: %s", k.Path, k.Value)
		}
	}
	want := []string{`enforce="strict"`, `dns.cache="64MiB"`, `store.url="postgres://p:xxxxx@db.test/p"`, `exempt[1].dkim="a.test"`, `exempt[1].why="x"`, `exempt[1].until=2027-01-01`, `exempt[2].ip="192.0.2.1"`}
	slices.Sort(want)
	slices.Sort(changed)
	if !slices.Equal(changed, want) {
		t.Errorf("not defaults:\n%s\nwant\n%s", strings.Join(changed, "\n"), strings.Join(want, "\n"))
	}
	if len(keys) < 100 || About("exempt[1].dkim") == "" || About("none.such") != "" {
		t.Errorf("%d keys, %q", len(keys), About("exempt[1].dkim"))
	}
}

// TestChanges: keys are compared one by one, entries as a whole.
func TestChanges(t *testing.T) {
	t.Setenv("STATE_DIRECTORY", t.TempDir())
	const a, b = "[[exempt]]\ndkim = 'a.test'\n", "[[exempt]]\ndkim = 'b.test'\n"
	for _, c := range []struct{ name, from, to, want string }{
		{"nothing", a, a, ""},
		{"a key", "", "enforce = 'strict'\n", `enforce: "guarded" -> "strict"`},
		{"a key that needs a restart", "", "[log]\nlevel = 'debug'\n", `log.level: "info" -> "debug" (restart)`},
		{"the first entry", "", a, `[[exempt]]:  -> dkim = "a.test"`},
		{"an entry before another", a, b + a, `[[exempt]]:  -> dkim = "b.test"`},
		{"an entry less", a + b, b, `[[exempt]]: dkim = "a.test" -> `},
		{"another order", a + b, b + a, "order: the order of the entries -> another order"},
	} {
		t.Run(c.name, func(t *testing.T) {
			list, err := Changes(parsed(t, c.from), parsed(t, c.to))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, x := range list {
				line := x.Path + ": " + x.Was + " -> " + x.Is
				if x.Restart {
					line += " (restart)"
				}
				got = append(got, line)
			}
			if strings.Join(got, "\n") != c.want {
				t.Errorf("%q, want %q", strings.Join(got, "\n"), c.want)
			}
		})
	}
}
