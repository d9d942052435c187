//go:build packages

// Command packages makes what "make packages" makes: the .deb and the .rpm, a tarball and an
// OCI image of a binary that is linked statically, each with its bill of materials, and their
// checksums. The same commit gives the same octets.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// job is one run.
type job struct {
	root    string // of the repository
	out     string
	version string
	arch    string
	date    time.Time // of the commit: of every file
	stage   string    // the tree of files below out
}

func main() {
	out := flag.String("out", "dist", "folder of the packages")
	arch := flag.String("arch", runtime.GOARCH, "architecture, as Go names it")
	stage := flag.String("stage", "", "only make the tree of files below this folder (make install)")
	flag.Parse()
	if err := run(*out, *arch, *stage); err != nil {
		fmt.Fprintln(os.Stderr, "packages:", err)
		os.Exit(1)
	}
}

func run(out, arch, stage string) error {
	root, err := output("", "go", "list", "-m", "-f", "{{.Dir}}", "postseal")
	if err != nil {
		return err
	}
	j := &job{root: root, arch: arch}
	if j.out, err = filepath.Abs(out); err != nil {
		return err
	}
	if err := j.dateAndVersion(); err != nil {
		return err
	}
	j.stage = filepath.Join(j.out, "stage-"+arch)
	if stage != "" {
		if j.stage, err = filepath.Abs(stage); err != nil {
			return err
		}
		return j.makeStage()
	}
	for _, step := range []func() error{j.makeStage, j.makePackages, j.makeTarball, j.makeImage, j.makeChecksums} {
		if err := step(); err != nil {
			return err
		}
	}
	return os.RemoveAll(j.stage)
}

// dateAndVersion takes both from the commit, or from SOURCE_DATE_EPOCH and VERSION where there
// is none.
func (j *job) dateAndVersion() error {
	seconds := os.Getenv("SOURCE_DATE_EPOCH")
	if seconds == "" {
		seconds, _ = output(j.root, "git", "log", "-1", "--format=%ct")
	}
	n, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return fmt.Errorf("the date of the sources is not known: set SOURCE_DATE_EPOCH (%w)", err)
	}
	j.date = time.Unix(n, 0).UTC()
	j.version = strings.TrimPrefix(os.Getenv("VERSION"), "v")
	if j.version == "" {
		if tag, err := output(j.root, "git", "describe", "--tags", "--exact-match"); err == nil {
			j.version = strings.TrimPrefix(tag, "v")
		}
	}
	if j.version == "" { // before the first release
		j.version = "0.0.0~" + j.date.Format("20060102150405")
	}
	return nil
}

func output(dir, name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	if name == "git" {
		cmd.Stderr = nil
	}
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w", name, strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out)), nil
}

// command runs a program and shows what it writes.
func (j *job) command(env []string, name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = j.root, os.Stderr, os.Stderr
	cmd.Env = append(os.Environ(), env...)
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s %s: %w", name, strings.Join(args, " "), err)
	}
	return nil
}
