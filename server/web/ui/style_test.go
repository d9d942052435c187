package ui

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// palette returns the colors of a style sheet, light and dark.
func palette(t *testing.T, path string) (light, dark map[string]string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	read := func(from string) map[string]string {
		_, rest, ok := strings.Cut(string(text), from)
		if !ok {
			t.Fatalf("%s has no %s", path, from)
		}
		rest, _, _ = strings.Cut(rest, "}")
		colors := map[string]string{}
		for _, m := range regexp.MustCompile(`--([\w-]+):(#[0-9a-f]+)`).FindAllStringSubmatch(rest, -1) {
			colors[m[1]] = m[2]
		}
		return colors
	}
	return read(":root{"), read("@media (prefers-color-scheme:dark){:root")
}

// linear returns the red, green and blue of a color as amounts of light.
func linear(t *testing.T, color string) (rgb [3]float64) {
	t.Helper()
	if len(color) == 4 {
		color = "#" + strings.Repeat(color[1:2], 2) + strings.Repeat(color[2:3], 2) + strings.Repeat(color[3:4], 2)
	}
	var c [3]uint8
	if _, err := fmt.Sscanf(color, "#%02x%02x%02x", &c[0], &c[1], &c[2]); err != nil {
		t.Fatalf("color %q: %v", color, err)
	}
	for i := range c {
		x := float64(c[i]) / 255
		if rgb[i] = x / 12.92; x > 0.04045 {
			rgb[i] = math.Pow((x+0.055)/1.055, 2.4)
		}
	}
	return rgb
}

// contrast is that of WCAG 2.
func contrast(t *testing.T, a, b string) float64 {
	t.Helper()
	light := func(c string) float64 { x := linear(t, c); return 0.2126*x[0] + 0.7152*x[1] + 0.0722*x[2] }
	x, y := light(a), light(b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

// deuteranopia is what someone without green cones sees (Machado, Oliveira and Fernandes 2009).
var deuteranopia = [3][3]float64{{0.367322, 0.860646, -0.227968}, {0.280085, 0.672501, 0.047413}, {-0.011820, 0.042940, 0.968881}}

// apartness is the distance of two colors under deuteranopia (CIE 1976); 2 is just noticed.
func apartness(t *testing.T, a, b string) float64 {
	t.Helper()
	lab := func(color string) [3]float64 {
		l, seen := linear(t, color), [3]float64{}
		for i, row := range deuteranopia {
			seen[i] = min(1, max(0, row[0]*l[0]+row[1]*l[1]+row[2]*l[2]))
		}
		f := func(x float64) float64 {
			if x > 0.008856 {
				return math.Cbrt(x)
			}
			return 7.787*x + 16.0/116
		}
		x := f((0.4124*seen[0] + 0.3576*seen[1] + 0.1805*seen[2]) / 0.95047)
		y := f(0.2126*seen[0] + 0.7152*seen[1] + 0.0722*seen[2])
		z := f((0.0193*seen[0] + 0.1192*seen[1] + 0.9505*seen[2]) / 1.08883)
		return [3]float64{116*y - 16, 500 * (x - y), 200 * (y - z)}
	}
	x, y := lab(a), lab(b)
	return math.Sqrt(math.Pow(x[0]-y[0], 2) + math.Pow(x[1]-y[1], 2) + math.Pow(x[2]-y[2], 2))
}

// TestColors: text has a contrast of 4.5 on each ground that it stands on, marks and the edges of fields have 3 (WCAG
// 2.2: 1.4.3 and 1.4.11), and the colors of the verdicts differ for someone who does not see green, light and dark.
// Their shapes and words differ too.
func TestColors(t *testing.T) {
	light, dark := palette(t, "style.css")
	publicLight, publicDark := palette(t, filepath.Join("..", "refusal", "style.css"))
	for name, colors := range map[string]map[string]string{"light": light, "dark": dark, "refusal, light": publicLight, "refusal, dark": publicDark} {
		need := func(least float64, ground string, names ...string) {
			for _, n := range names {
				if colors[n] == "" || colors[ground] == "" {
					continue // the page of a refusal has fewer
				}
				if c := contrast(t, colors[n], colors[ground]); c < least {
					t.Errorf("%s: %s on %s has a contrast of %.2f, want %.1f", name, n, ground, c, least)
				}
			}
		}
		need(4.5, "bg", "ink", "ink2", "ink3", "acc", "ok", "warn", "bad", "hold")
		need(4.5, "sunk", "ink", "ink2", "ink3", "acc", "ok", "warn", "bad")
		need(4.5, "acc-soft", "ink", "ink2", "acc")
		need(4.5, "warn-soft", "ink", "ink2", "warn")
		need(4.5, "ok-soft", "ok")
		need(4.5, "bad-soft", "bad")
		need(3, "bg", "g-ok", "g-warn", "g-bad", "g-hold", "field", "acc")
	}
	for name, colors := range map[string]map[string]string{"light": light, "dark": dark} {
		for _, pair := range [][2]string{{"bad", "warn"}, {"bad", "hold"}, {"warn", "hold"}, {"ok", "warn"}, {"g-bad", "g-warn"}, {"g-bad", "g-ok"}, {"g-warn", "g-ok"}, {"g-hold", "g-ok"}} {
			if d := apartness(t, colors[pair[0]], colors[pair[1]]); d < 15 {
				t.Errorf("%s: %s and %s are %.0f apart, want 15", name, pair[0], pair[1], d)
			}
		}
	}
}
