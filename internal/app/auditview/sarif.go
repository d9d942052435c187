package auditview

import (
	"bufio"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"postseal/audit"
)

// home is the URL that explains the rules.
const home = "https://pkg.go.dev/postseal"

// language is that of all texts (SARIF §3.14.7).
const language = "en-US"

// The parts of SARIF 2.1.0 that an audit needs, with the section that defines each.
type (
	sarifTool struct { // §3.18
		Driver sarifDriver `json:"driver"`
	}
	sarifDriver struct { // §3.19
		Name           string      `json:"name"`
		Version        string      `json:"version,omitempty"`
		InformationURI string      `json:"informationUri"`
		Language       string      `json:"language"`
		Rules          []sarifRule `json:"rules"`
	}
	sarifRule struct { // §3.49
		ID               string       `json:"id"`
		ShortDescription sarifText    `json:"shortDescription"`
		FullDescription  sarifText    `json:"fullDescription"`
		Help             sarifText    `json:"help"`
		Default          sarifDefault `json:"defaultConfiguration"`
	}
	sarifDefault struct { // §3.50
		Level string `json:"level"`
	}
	sarifText struct { // §3.11, §3.12
		Text string `json:"text"`
	}
	sarifResult struct { // §3.27
		RuleID       string            `json:"ruleId"`
		RuleIndex    *int              `json:"ruleIndex,omitempty"`
		Level        string            `json:"level"`
		Message      sarifText         `json:"message"`
		Locations    []sarifLocation   `json:"locations"`
		Fingerprints map[string]string `json:"partialFingerprints"`
		Baseline     string            `json:"baselineState,omitempty"`
	}
	sarifLocation struct { // §3.28
		Physical sarifPlace     `json:"physicalLocation"`
		Logical  []sarifLogical `json:"logicalLocations"`
	}
	sarifPlace struct { // §3.29
		Artifact sarifArtifact `json:"artifactLocation"`
		Region   sarifRegion   `json:"region"`
	}
	sarifArtifact struct { // §3.4
		URI string `json:"uri"`
	}
	sarifRegion struct { // §3.30
		StartLine int `json:"startLine"`
		EndLine   int `json:"endLine"`
	}
	sarifLogical struct { // §3.33
		Name string `json:"fullyQualifiedName"`
		Kind string `json:"kind"`
	}
)

// sarif writes a log of one run. The results come last, so each can be written immediately.
type sarif struct {
	w       *bufio.Writer
	options Options
	n       int
	number  map[string]int // index of a rule among those of the driver
}

func newSARIF(w *bufio.Writer, o Options) (*sarif, error) {
	s := &sarif{w: w, options: o, number: map[string]int{}}
	tool := sarifTool{sarifDriver{Name: "postseal", Version: o.Version, InformationURI: home, Language: language}}
	for i, r := range audit.Rules() {
		s.number[r.ID] = i
		tool.Driver.Rules = append(tool.Driver.Rules, sarifRule{r.ID, sarifText{r.Title}, sarifText{r.Why},
			sarifText{r.Fix + " Source: " + r.Cite() + "."}, sarifDefault{level(r.Severity)}})
	}
	text, err := json.Marshal(tool)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(w, `{"$schema":"https://json.schemastore.org/sarif-2.1.0.json","version":"2.1.0","runs":[{"language":%q,"newlineSequences":["\r\n","\n"],"tool":%s,"results":[`, language, text)
	return s, nil
}

// level converts the severity to a word of SARIF §3.27.10.
func level(s audit.Severity) string {
	switch s {
	case audit.Critical, audit.Error:
		return "error"
	case audit.Warn:
		return "warning"
	}
	return "note"
}

// Report implements Writer.
func (s *sarif) Report(r *audit.Report, from Source) error {
	for i := range r.Findings {
		data, err := json.Marshal(s.result(r, &r.Findings[i], from))
		if err != nil {
			return err
		}
		if s.n > 0 {
			s.w.WriteByte(',')
		}
		s.w.WriteByte('\n')
		s.n++
		s.w.Write(data)
	}
	return s.w.Flush()
}

func (s *sarif) result(r *audit.Report, f *audit.Finding, from Source) *sarifResult {
	message := r.Domain + ": " + f.Title + ". " + f.Detail + ". Fix: " + f.Fix + withheld(r, f)
	if f.Publish != "" {
		message += ". Publish: " + f.Publish
	}
	res := &sarifResult{RuleID: f.ID, Level: level(f.Severity), Message: sarifText{message}}
	if i, ok := s.number[f.ID]; ok {
		res.RuleIndex = &i
	}
	if s.options.Known != nil {
		res.Baseline = map[bool]string{true: "unchanged", false: "new"}[s.options.known(r, f)]
	}
	// Code hosting sites only accept paths relative to the repository: that of the zone file or
	// of the list. If there is neither, the path is derived from the name.
	file, line := s.place(f, from)
	place := sarifPlace{sarifArtifact{file}, sarifRegion{line, line}}
	res.Locations = []sarifLocation{{place, []sarifLogical{{f.Where.Name, "member"}}}}
	sum := sha256.Sum256([]byte(f.ID + "\x00" + r.Domain + "\x00" + f.Where.Name))
	res.Fingerprints = map[string]string{"postsealFinding/v1": fmt.Sprintf("%x", sum[:16])}
	return res
}

// place is the file and line of a finding.
func (s *sarif) place(f *audit.Finding, from Source) (file string, line int) {
	if len(s.options.Files) > 0 {
		file, line := lineOf(s.options.Files, f.Where)
		return relative(file), line
	}
	if from.File != "" {
		return relative(from.File), max(from.Line, 1)
	}
	return "dns/" + url.PathEscape(f.Where.Name), 1
}

// relative returns a path as a URI reference: with slashes, and without anything that would
// make it absolute.
func relative(path string) string {
	if wd, err := os.Getwd(); err == nil && filepath.IsAbs(path) {
		if rel, err := filepath.Rel(wd, path); err == nil {
			path = rel
		}
	}
	return (&url.URL{Path: filepath.ToSlash(filepath.Clean(path))}).String()
}

// lineOf finds the record of a finding in the zone files, or else the first line of the name,
// or else the first line of the first file.
func lineOf(files []string, at audit.Where) (file string, line int) {
	label, _, _ := strings.Cut(at.Name, ".")
	text, _, _ := strings.Cut(at.Record, "\"")
	file, line = files[0], 0
	for _, path := range files {
		data, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		for n, l := range strings.Split(string(data), "\n") {
			if at.Record != "" && strings.Contains(l, text[:min(len(text), 40)]) {
				return path, n + 1
			}
			if line == 0 && (strings.HasPrefix(l, label+" ") || strings.HasPrefix(l, at.Name+".")) {
				file, line = path, n+1
			}
		}
	}
	return file, max(line, 1)
}

// Close implements Writer.
func (s *sarif) Close() error {
	s.w.WriteString("]}]}\n")
	return s.w.Flush()
}
