//go:build packages

package main

import (
	"debug/buildinfo"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

func sortedKeys(m map[string][]byte) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// component is one of CycloneDX 1.5.
type component struct {
	Type    string              `json:"type"`
	Ref     string              `json:"bom-ref"`
	Name    string              `json:"name"`
	Version string              `json:"version"`
	PURL    string              `json:"purl,omitempty"`
	Hashes  []map[string]string `json:"hashes,omitempty"`
	Notes   []map[string]string `json:"properties,omitempty"`
}

// materials writes the bill of materials of an artifact next to it: the modules that are linked
// into its binary, as the binary itself says.
func (j *job) materials(artifact string) error {
	info, err := buildinfo.ReadFile(filepath.Join(j.stage, "usr/bin/postseal"))
	if err != nil {
		return err
	}
	text, err := os.ReadFile(artifact)
	if err != nil {
		return err
	}
	own := component{Type: "application", Ref: "postseal", Name: "postseal", Version: j.version, Hashes: []map[string]string{{"alg": "SHA-256", "content": sum(text)}},
		Notes: []map[string]string{{"name": "file", "value": filepath.Base(artifact)}}}
	list := []component{{Type: "library", Ref: "go:std", Name: "std", Version: strings.TrimPrefix(info.GoVersion, "go"), PURL: "pkg:golang/std@" + strings.TrimPrefix(info.GoVersion, "go")}}
	depends := []string{"go:std"}
	for _, m := range info.Deps {
		c := moduleComponent(m)
		list, depends = append(list, c), append(depends, c.Ref)
	}
	bill, err := json.MarshalIndent(map[string]any{"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
		"metadata":     map[string]any{"timestamp": j.date.Format(time.RFC3339), "component": own},
		"components":   list,
		"dependencies": []any{map[string]any{"ref": "postseal", "dependsOn": depends}}}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(artifact+".cdx.json", append(bill, '\n'), 0o644)
}

func moduleComponent(m *debug.Module) component {
	if m.Replace != nil {
		m = m.Replace
	}
	purl := "pkg:golang/" + m.Path + "@" + m.Version
	c := component{Type: "library", Ref: purl, Name: m.Path, Version: m.Version, PURL: purl}
	if hash, ok := strings.CutPrefix(m.Sum, "h1:"); ok { // the hash of go.sum over the module
		if raw, err := base64.StdEncoding.DecodeString(hash); err == nil {
			c.Notes = []map[string]string{{"name": "go.sum h1 (SHA-256 of the file list)", "value": hex.EncodeToString(raw)}}
		}
	}
	return c
}
