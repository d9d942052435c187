//go:build packages

package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// content is a file of a package, as nfpm takes it.
type content struct {
	Src      string    `yaml:"src,omitempty"`
	Dst      string    `yaml:"dst"`
	Type     string    `yaml:"type,omitempty"`
	Packager string    `yaml:"packager,omitempty"`
	FileInfo *fileInfo `yaml:"file_info,omitempty"`
}

type fileInfo struct {
	Mode  uint32    `yaml:"mode"`
	MTime time.Time `yaml:"mtime"`
}

// files lists the files of the tree, in order.
func (j *job) files() (list []string, err error) {
	err = filepath.WalkDir(j.stage, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(j.stage, path)
			list = append(list, rel)
		}
		return err
	})
	slices.Sort(list)
	return list, err
}

func (j *job) contents() ([]content, error) {
	files, err := j.files()
	if err != nil {
		return nil, err
	}
	var list []content
	for _, path := range files {
		c := content{Src: filepath.Join(j.stage, path), Dst: "/" + path, FileInfo: &fileInfo{0o644, j.date}}
		switch {
		case strings.HasPrefix(path, "etc/"):
			c.Type = "config|noreplace"
		case strings.HasPrefix(path, "usr/bin/"):
			c.FileInfo.Mode = 0o755
		case strings.HasPrefix(path, "usr/lib/sysusers.d/"):
			c.Packager = "rpm" // the .deb makes the user in its postinst
		case path == "usr/share/doc/postseal/changelog.Debian.gz", path == "usr/share/doc/postseal/copyright":
			c.Packager = "deb"
		}
		list = append(list, c)
	}
	license := content{Src: filepath.Join(j.root, "LICENSE"), Dst: "/usr/share/licenses/postseal/LICENSE", Packager: "rpm", FileInfo: &fileInfo{0o644, j.date}}
	overrides := content{Src: filepath.Join(j.root, "deploy/packages/scripts/lintian-overrides"), Dst: "/usr/share/lintian/overrides/postseal", Packager: "deb", FileInfo: &fileInfo{0o644, j.date}}
	return append(list, license, overrides), nil
}

// makePackages makes the .deb and the .rpm with nfpm.
func (j *job) makePackages() error {
	contents, err := j.contents()
	if err != nil {
		return err
	}
	config := map[string]any{
		"name": "postseal", "arch": j.arch, "platform": "linux", "version": j.version, "version_schema": "none", "release": "1",
		"section": "mail", "priority": "optional", "maintainer": "the postseal authors <postseal@localhost>", "homepage": "https://postseal.invalid", "license": "MIT",
		"description": "email authentication: SPF, DKIM, ARC and DMARC\nVerifies where mail comes from, decides what to do with it and says why.\nRuns next to Postfix and other mail servers as a milter, a policy service or\nan SMTP proxy, audits domains and explains verdicts.",
		"mtime":       j.date, "contents": contents, "umask": 0o022,
		"deb": map[string]any{"compression": "xz"},
		"rpm": map[string]any{"compression": "xz", "buildhost": "postseal"},
		"overrides": map[string]any{
			"deb": map[string]any{"depends": []string{"adduser"}, "recommends": []string{"ca-certificates"}, "scripts": j.scripts("postinst", "prerm", "postrm")},
			"rpm": map[string]any{"scripts": j.scripts("rpm-post", "prerm", "rpm-postun")},
		},
	}
	text, err := yaml.Marshal(config)
	if err != nil {
		return err
	}
	file := filepath.Join(j.out, "nfpm.yaml")
	if err := os.WriteFile(file, text, 0o644); err != nil {
		return err
	}
	defer os.Remove(file)
	for _, format := range []string{"deb", "rpm"} {
		target := filepath.Join(j.out, fmt.Sprintf("postseal_%s_%s.%s", j.version, j.arch, format))
		// GOFLAGS of the caller are for the sources of postseal.
		env := []string{fmt.Sprintf("SOURCE_DATE_EPOCH=%d", j.date.Unix()), "GOFLAGS="}
		if err := j.command(env, "go", "-C", "deploy/packages/nfpm", "tool", "nfpm", "package", "-f", file, "-p", format, "-t", target); err != nil {
			return err
		}
		if err := j.materials(target); err != nil {
			return err
		}
	}
	return nil
}

// scripts names the maintainer scripts of a package, as nfpm takes them.
func (j *job) scripts(post, prerm, postrm string) map[string]string {
	folder := filepath.Join(j.root, "deploy/packages/scripts")
	return map[string]string{"postinstall": filepath.Join(folder, post), "preremove": filepath.Join(folder, prerm), "postremove": filepath.Join(folder, postrm)}
}

// makeTarball makes the tree as a .tar.gz below one folder.
func (j *job) makeTarball() error {
	name := fmt.Sprintf("postseal-%s-linux-%s", j.version, j.arch)
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return err
	}
	if err := j.tar(z, name+"/", nil); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	target := filepath.Join(j.out, name+".tar.gz")
	if err := os.WriteFile(target, b.Bytes(), 0o644); err != nil {
		return err
	}
	return j.materials(target)
}

// tar writes the files of the tree that keep names, all of them without it.
func (j *job) tar(w io.Writer, prefix string, keep func(string) bool) error {
	files, err := j.files()
	if err != nil {
		return err
	}
	t := tar.NewWriter(w)
	made := map[string]bool{}
	for _, path := range files {
		if keep != nil && !keep(path) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(j.stage, path))
		if err != nil {
			return err
		}
		mode := int64(0o644)
		if strings.HasPrefix(path, "usr/bin/") {
			mode = 0o755
		}
		if err := j.folders(t, prefix+path, made); err != nil {
			return err
		}
		if err := j.entry(t, tar.Header{Name: prefix + path, Mode: mode, Typeflag: tar.TypeReg}, text); err != nil {
			return err
		}
	}
	return t.Close()
}

// folders writes the folders above path that are not there yet.
func (j *job) folders(t *tar.Writer, path string, made map[string]bool) error {
	for i, c := range path {
		if c != '/' || made[path[:i]] {
			continue
		}
		made[path[:i]] = true
		if err := j.entry(t, tar.Header{Name: path[:i] + "/", Mode: 0o755, Typeflag: tar.TypeDir}, nil); err != nil {
			return err
		}
	}
	return nil
}

func (j *job) entry(t *tar.Writer, h tar.Header, text []byte) error {
	h.ModTime, h.Format, h.Size = j.date, tar.FormatPAX, int64(len(text))
	if err := t.WriteHeader(&h); err != nil {
		return err
	}
	_, err := t.Write(text)
	return err
}

// makeChecksums writes SHA256SUMS of everything that was made.
func (j *job) makeChecksums() error {
	files, err := os.ReadDir(j.out)
	if err != nil {
		return err
	}
	var b strings.Builder
	for _, f := range files {
		if f.IsDir() || !strings.HasPrefix(f.Name(), "postseal-") && !strings.HasPrefix(f.Name(), "postseal_") {
			continue
		}
		text, err := os.ReadFile(filepath.Join(j.out, f.Name()))
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "%s  %s\n", sum(text), f.Name())
	}
	fmt.Print(b.String())
	return os.WriteFile(filepath.Join(j.out, "SHA256SUMS"), []byte(b.String()), 0o644)
}
