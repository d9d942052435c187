//go:build packages

package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"postseal/internal/app/cli"
)

// copies are the files of the repository that are installed as they are.
var copies = []struct{ from, to string }{
	{"deploy/postseal.toml", "etc/postseal/postseal.toml"},
	{"deploy/systemd/postseal.service", "usr/lib/systemd/system/postseal.service"},
	{"deploy/systemd/postseal.socket", "usr/lib/systemd/system/postseal.socket"},
	{"deploy/systemd/postseal-policy.socket", "usr/lib/systemd/system/postseal-policy.socket"},
	{"deploy/sysusers/postseal.conf", "usr/lib/sysusers.d/postseal.conf"},
	{"deploy/prometheus/postseal.rules.yml", "usr/share/postseal/prometheus/postseal.rules.yml"},
	{"deploy/grafana/postseal.json", "usr/share/postseal/grafana/postseal.json"},
	{"deploy/postfix/milter.cf", "usr/share/doc/postseal/examples/milter.cf"},
	{"deploy/postfix/policy.cf", "usr/share/doc/postseal/examples/policy.cf"},
	{"deploy/postfix/proxy.cf", "usr/share/doc/postseal/examples/proxy.cf"},
	{"README.md", "usr/share/doc/postseal/README.md"},
}

// makeStage makes the tree of files as it is installed below /.
func (j *job) makeStage() error {
	for _, c := range copies {
		text, err := os.ReadFile(filepath.Join(j.root, c.from))
		if err != nil {
			return err
		}
		if err := j.file(c.to, text, 0o644); err != nil {
			return err
		}
	}
	license, err := os.ReadFile(filepath.Join(j.root, "LICENSE"))
	if err != nil {
		return err
	}
	if err := j.file("usr/share/doc/postseal/copyright", append([]byte("postseal is free software under the MIT license:\n\n"), license...), 0o644); err != nil {
		return err
	}
	if err := j.zipped("usr/share/doc/postseal/changelog.Debian.gz", j.changelog()); err != nil {
		return err
	}
	if err := j.build(); err != nil {
		return err
	}
	if err := j.manual(); err != nil {
		return err
	}
	if err := j.completions(); err != nil {
		return err
	}
	return j.setTimes()
}

func (j *job) file(path string, text []byte, mode os.FileMode) error {
	to := filepath.Join(j.stage, path)
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(to, text, mode); err != nil {
		return err
	}
	return os.Chmod(to, mode)
}

// zipped writes text with gzip, without a time and a name.
func (j *job) zipped(path string, text []byte) error {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return err
	}
	if _, err := w.Write(text); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return j.file(path, b.Bytes(), 0o644)
}

// changelog is that of Debian's form: the changes themselves are in CHANGELOG.md.
func (j *job) changelog() []byte {
	return fmt.Appendf(nil, "postseal (%s-1) unstable; urgency=medium\n\n  * See CHANGELOG.md in the sources.\n\n -- the postseal authors <postseal@localhost>  %s\n",
		j.version, j.date.Format(time.RFC1123Z))
}

// build links the binary statically.
func (j *job) build() error {
	return j.command([]string{"CGO_ENABLED=0", "GOOS=linux", "GOARCH=" + j.arch}, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -buildid= -X postseal/internal/app/cli.released="+j.version,
		"-o", filepath.Join(j.stage, "usr/bin/postseal"), "./cmd/postseal")
}

func (j *job) completions() error {
	root := cli.Command()
	for _, c := range []struct {
		path     string
		generate func(*bytes.Buffer) error
	}{
		{"usr/share/bash-completion/completions/postseal", func(b *bytes.Buffer) error { return root.GenBashCompletionV2(b, true) }},
		{"usr/share/zsh/vendor-completions/_postseal", func(b *bytes.Buffer) error { return root.GenZshCompletion(b) }},
		{"usr/share/fish/vendor_completions.d/postseal.fish", func(b *bytes.Buffer) error { return root.GenFishCompletion(b, true) }},
	} {
		var b bytes.Buffer
		if err := c.generate(&b); err != nil {
			return err
		}
		if err := j.file(c.path, b.Bytes(), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// setTimes gives every file the time of the commit, and every folder its usual mode.
func (j *job) setTimes() error {
	return filepath.WalkDir(j.stage, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if err := os.Chmod(path, 0o755); err != nil {
				return err
			}
		} else if strings.HasSuffix(path, "usr/bin/postseal") {
			if err := os.Chmod(path, 0o755); err != nil {
				return err
			}
		}
		return os.Chtimes(path, j.date, j.date)
	})
}
