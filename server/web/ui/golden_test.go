package ui

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"

	"golang.org/x/net/html"

	"postseal/server/listener"
	"postseal/store"
)

var update = flag.Bool("update", false, "rewrite the files in testdata/golden")

// goldenRows are the rows of a table that a golden file has.
const goldenRows = 4

// TestGolden: the pages in their states are those of testdata/golden, as an outline of their elements
// and text. After a change that is meant: go test ./server/web/ui -update, and read the difference.
func TestGolden(t *testing.T) {
	jobs, done, stopped := bulked(t)
	ids := regexp.MustCompile(regexp.QuoteMeta(done) + "|" + regexp.QuoteMeta(stopped))
	full := &source{db: filled(t), notices: noticed(), evidence: told(), compared: compared(), watched: watching(t), own: []string{"example.net", "shop.example", "acme.test"}, jobs: jobs, trial: &Trial{"strict", "treewalk", now, 10, 3, 2}}
	failing, off := &source{db: broken{}, trouble: "No name server answers."}, &source{why: `[store] url is "none"`}
	inspected, stopping := inspectedSource(t), &source{failure: errors.New("the daemon stops")}
	ref := store.RefText(1000)
	for _, c := range []struct {
		name   string
		source *source
		path   string
	}{
		{"live", full, "/live?follow=0"}, {"live-off", off, "/live?follow=0"}, {"live-failing", failing, "/live?follow=0"}, {"live-slow", &source{db: slowReports{}}, "/live?follow=0"},
		{"search", full, "/search?q=author:bank.test"}, {"search-wrong", full, "/search?q=authr:x"}, {"search-failing", failing, "/search?q=domain:x.test"}, {"search-none", full, "/search?q=author:none.test"},
		{"message", full, "/v/" + ref}, {"message-now", full, "/v/" + ref + "?dns=now"}, {"message-failing", failing, "/v/" + ref}, {"message-unknown", full, "/v/ZZZZZZZZ"},
		{"whatif", full, "/whatif"}, {"whatif-off", off, "/whatif"}, {"audit", full, "/audit/acme.test"}, {"audit-form", full, "/audit"}, {"audit-running", full, "/audit/running.test"}, {"audit-old", full, "/audit/old.test"}, {"audit-history", full, "/audit/acme.test/history"},
		{"watch", full, "/audit/watch"}, {"watch-off", off, "/audit/watch"}, {"bulk", full, "/bulk"}, {"bulk-off", off, "/bulk"}, {"job", full, "/bulk/" + done}, {"job-stopped", full, "/bulk/" + stopped + "?grade=C"},
		{"reports-out", &source{db: outgoing(t)}, "/reports/out"}, {"reports-off", off, "/reports"}, {"reports-domain", &source{db: reported(t)}, "/reports/shop.example"}, {"reports-source", &source{db: reported(t)}, "/reports/shop.example/network:198.51.100.0-24"}, {"reports-received", &source{db: reported(t)}, "/reports/shop.example/received"}, {"report", &source{db: reported(t)}, "/report/30"}, {"report-failure", &source{db: reported(t)}, "/report/32"},
		{"reports-preview", &source{db: outgoing(t)}, "/reports/out/preview?day=2026-11-28"}, {"report-out", &source{db: outgoing(t)}, "/reports/out/2026-11-29/shop.example"}, {"system", inspected, "/system?checks=1&name=_dmarc.acme.test&type=TXT"}, {"system-failing", failing, "/system"},
		{"system-config", inspected, "/system/config?key=dns.cache"}, {"system-config-failing", stopping, "/system/config"}, {"system-exempt", inspected, "/system/exempt"}, {"system-exempt-none", off, "/system/exempt"}, {"system-exempt-failing", stopping, "/system/exempt"}, {"whatif-exempt", full, "/whatif?a=live&b=exempt-" + ref},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, body := 0, ""
			get := func(t *testing.T) { status, body = open(t, as(handler(c.source), listener.AdminRole), c.path) }
			if strings.HasSuffix(c.name, "-slow") {
				synctest.Test(t, get)
			} else {
				get(t)
			}
			got := fmt.Sprintf("%d\n%s", status, ids.ReplaceAllString(outline(t, body), "JOB"))
			path := filepath.Join("testdata", "golden", c.name+".txt")
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("differs from %s:\n%s", path, firstDifference(string(want), got))
			}
		})
	}
}

// firstDifference returns the lines around the first that differ.
func firstDifference(want, got string) string {
	a, b := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return fmt.Sprintf("line %d\nwant %s\ngot  %s", i+1, a[i], b[i])
		}
	}
	return fmt.Sprintf("%d lines, want %d", len(b), len(a))
}

// outline writes the title and the main part of a page, one line for each element or text.
func outline(t *testing.T, body string) string {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for n := range doc.Descendants() {
		if n.Type == html.ElementNode && (n.Data == "title" || n.Data == "main" || n.Data == "p" && attr(n, "class") == "band") {
			outlineOf(&b, n, "")
		}
	}
	return b.String()
}

func attr(n *html.Node, key string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}

func outlineOf(b *strings.Builder, n *html.Node, indent string) {
	switch {
	case n.Type == html.TextNode:
		if text := strings.Join(strings.Fields(n.Data), " "); text != "" {
			fmt.Fprintf(b, "%s%s\n", indent, text)
		}
		return
	case n.Type != html.ElementNode:
		return
	}
	fmt.Fprintf(b, "%s<%s", indent, n.Data)
	for _, a := range n.Attr {
		fmt.Fprintf(b, " %s=%q", a.Key, a.Val)
	}
	b.WriteString(">\n")
	if n.Data == "svg" || n.Data == "pre" && len(n.FirstChild.Data) > 2000 {
		return
	}
	rows := 0
	for c := range n.ChildNodes() {
		if c.Data == "tr" && n.Data == "tbody" {
			if rows++; rows > goldenRows {
				continue
			}
		}
		outlineOf(b, c, indent+" ")
	}
	if rows > goldenRows {
		fmt.Fprintf(b, "%s (%d more rows)\n", indent, rows-goldenRows)
	}
}

// The golden pictures are gray and a quarter as wide and high: small, and deaf to how the edge of a
// letter is drawn.
const (
	goldenScale = 4
	goldenHigh  = 900 // of the screenshot; the rest is cut
	goldenPixel = 40  // of 255, by which a pixel differs
)

// goldenPages are those whose pictures are compared.
var goldenPages = []string{"login", "login-failed", "refusal", "refusal-lost", "live", "search", "message", "whatif", "audit", "watch", "job", "bulk", "system", "system-config", "system-exempt", "reports-domain", "reports-source", "report", "reports-out-full", "report-out", "live-off", "search-wrong"}

// forcedPages are those with a picture in forced colors (high contrast) too.
var forcedPages = []string{"live", "message"}

// The share of a picture that may differ: with the version of Chromium that made the golden one, and
// with another, whose lines may break elsewhere.
const (
	goldenShare = 0.001
	otherShare  = 0.02
)

// dejavu is where Debian's fonts-dejavu-core has its fonts.
const dejavu = "/usr/share/fonts/truetype/dejavu"

// useFonts gives the browser of a test these fonts alone, drawn without hints: its pictures do not
// depend on what else is installed or configured. ok is false if they are not here.
func useFonts(t *testing.T) (ok bool) {
	t.Helper()
	for _, name := range []string{"DejaVuSans.ttf", "DejaVuSans-Bold.ttf", "DejaVuSansMono.ttf"} {
		if _, err := os.Stat(filepath.Join(dejavu, name)); err != nil {
			return false
		}
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "fonts.conf")
	text := `<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd"><fontconfig><dir>` + dejavu + `</dir><cachedir>` + dir + `</cachedir>
<selectfont><rejectfont><glob>*Serif*</glob><glob>*Condensed*</glob><glob>*ExtraLight*</glob><glob>*Oblique*</glob></rejectfont></selectfont>
<alias binding="same"><family>monospace</family><prefer><family>DejaVu Sans Mono</family></prefer></alias>
<alias binding="same"><family>sans-serif</family><prefer><family>DejaVu Sans</family></prefer></alias>
<alias binding="same"><family>system-ui</family><prefer><family>DejaVu Sans</family></prefer></alias>
<match target="pattern"><edit name="family" mode="append_last"><string>DejaVu Sans</string></edit></match>
<match target="font"><edit name="antialias" mode="assign"><bool>true</bool></edit><edit name="hinting" mode="assign"><bool>false</bool></edit><edit name="rgba" mode="assign"><const>none</const></edit></match></fontconfig>`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("FONTCONFIG_FILE", file)
	return true
}

// comparePictures compares the screenshots in dir with testdata/golden.
func comparePictures(t *testing.T, dir, browser string) {
	t.Helper()
	version, err := exec.Command(browser, "--version").Output()
	if err != nil {
		t.Fatal(err)
	}
	here, _, _ := strings.Cut(string(version), ".") // "Chromium 142"
	file, most := filepath.Join("testdata", "golden", "pictures.txt"), goldenShare
	if *update {
		if err := os.WriteFile(file, []byte(here+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if made, err := os.ReadFile(file); err != nil || strings.TrimSpace(string(made)) != here {
		most = otherShare
		t.Logf("the pictures were made by %s, and this is %s: %.0f%% of each may differ", bytes.TrimSpace(made), here, most*100)
	}
	for _, name := range goldenPages {
		for _, form := range []string{"light", "dark", "phone", "phone-dark"} {
			comparePicture(t, filepath.Join(dir, name+"-"+form+".png"), filepath.Join("testdata", "golden", name+"-"+form+".png"), most)
		}
	}
	for _, name := range forcedPages {
		comparePicture(t, filepath.Join(dir, name+"-forced.png"), filepath.Join("testdata", "golden", name+"-forced.png"), most)
	}
}

func comparePicture(t *testing.T, made, golden string, most float64) {
	t.Helper()
	got, err := small(made)
	if os.IsNotExist(err) {
		return // not among the pages of this run
	}
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		f, err := os.Create(golden)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(f, got); err != nil {
			t.Fatal(err)
		}
		return
	}
	f, err := os.Open(golden)
	if err != nil {
		t.Error(err)
		return
	}
	defer f.Close()
	want, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	if want.Bounds() != got.Bounds() {
		t.Errorf("%s: %v, want %v", golden, got.Bounds(), want.Bounds())
		return
	}
	differ := 0
	for y := range got.Rect.Dy() {
		for x := range got.Rect.Dx() {
			a, b := int(got.GrayAt(x, y).Y), int(color.GrayModel.Convert(want.At(x, y)).(color.Gray).Y)
			if a-b > goldenPixel || b-a > goldenPixel {
				differ++
			}
		}
	}
	if share := float64(differ) / float64(got.Rect.Dx()*got.Rect.Dy()); share > most {
		t.Errorf("%s: %.2f%% of the picture differs, at most %.1f%%: see %s; -update if that is meant", golden, share*100, most*100, made)
	}
}

// small reads a picture, cuts it and makes it small and gray.
func small(path string) (*image.Gray, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	in, err := png.Decode(f)
	if err != nil {
		return nil, err
	}
	w, h := in.Bounds().Dx()/goldenScale, min(in.Bounds().Dy(), goldenHigh)/goldenScale
	out := image.NewGray(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			sum := 0
			for k := range goldenScale * goldenScale {
				sum += int(color.GrayModel.Convert(in.At(x*goldenScale+k%goldenScale, y*goldenScale+k/goldenScale)).(color.Gray).Y)
			}
			out.SetGray(x, y, color.Gray{Y: uint8(sum / (goldenScale * goldenScale))})
		}
	}
	return out, nil
}
