package quickstart

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"postseal/internal/app/atomicfile"
	"postseal/internal/app/endpoint"
	"postseal/internal/app/postfix"
)

// record is what Undo needs.
type record struct {
	Schema  string `json:"schema"`
	Config  string `json:"config"`
	Existed bool   `json:"existed"`
	Before  []byte `json:"before"`
	After   []byte `json:"after"`
	NewDir  string `json:"new_dir"` // the directory of Config, if it was created
	PID     int    `json:"pid"`     // of a daemon started without systemd
	Unit    bool   `json:"unit"`    // systemd started it
	Postfix bool   `json:"postfix"` // main.cf was changed
}

// ErrNothingToUndo says that quickstart was not applied.
var ErrNothingToUndo = errors.New("quickstart was not applied here: nothing to undo")

// patience is how long the daemon may take to start.
const patience = 20 * time.Second

// Apply writes the configuration, starts or reloads the daemon, and sets up Postfix once the
// milter answers. What it did before an error can be undone.
func (s *Survey) Apply(ctx context.Context) error {
	r, err := s.read()
	if err != nil && !errors.Is(err, ErrNothingToUndo) {
		return err
	}
	if errors.Is(err, ErrNothingToUndo) {
		r = record{Schema: "postseal.quickstart/1", Config: s.ConfigFile, Existed: s.before != nil, Before: s.before}
	}
	r.After = s.after
	changed := !bytes.Equal(s.before, s.after)
	if changed {
		if dir := filepath.Dir(s.ConfigFile); r.NewDir == "" && !exists(dir) {
			r.NewDir = dir
		}
		if err := s.write(r); err != nil { // first: after a crash there is something to undo, never the reverse
			return err
		}
		if err := s.writeConfig(s.after); err != nil {
			return err
		}
	}
	if err := s.daemon(ctx, &r, changed); err != nil {
		return err
	}
	listeners, err := s.listeners()
	if err != nil {
		return err
	}
	if changes := s.Postfix.Plan(listeners); len(changes) > 0 {
		r.Postfix = true
		if err := s.write(r); err != nil {
			return err
		}
		if _, err := s.Postfix.Apply(ctx, changes); err != nil {
			return err
		}
		return s.reloadPostfix(ctx)
	}
	return s.write(r)
}

// daemon reloads the daemon, or starts it and waits until its milter answers.
func (s *Survey) daemon(ctx context.Context, r *record, changed bool) error {
	if s.Milter.Address != "" && s.Milter.Err == nil {
		if pid := endpoint.NewFinder(s.Config).Record.PID; changed && pid > 0 {
			return syscall.Kill(pid, syscall.SIGHUP)
		}
		return nil
	}
	command := s.startCommand()
	cmd := exec.Command(command[0], command[1:]...)
	if command[0] == "systemctl" {
		r.Unit = true
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("systemctl: %w: %s", err, bytes.TrimSpace(out))
		}
	} else if err := s.spawn(cmd, r); err != nil {
		return err
	}
	if err := s.write(*r); err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		if s.Milter = endpoint.NewFinder(s.Config).Find(limited, endpoint.Milter); s.Milter.Err == nil && s.Milter.Address != "" {
			return nil
		}
		select {
		case <-limited.Done():
			return fmt.Errorf("the daemon does not answer at %s (%v): see %s for the reason", s.Milter.Address, s.Milter.Err, s.logPath())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (s *Survey) logPath() string { return filepath.Join(s.State, "quickstart.log") }

// startCommand returns the command that starts the daemon: its unit, or the program itself without systemd.
func (s *Survey) startCommand() []string {
	if _, err := os.Stat("/run/systemd/system"); err == nil && len(endpoint.Units()) > 0 {
		return []string{"systemctl", "enable", "--now", "postseal.service"}
	}
	return []string{s.Program, "serve", "--config", s.ConfigFile}
}

// spawn starts the daemon independently of this program, as the user of the packages if there is one.
func (s *Survey) spawn(cmd *exec.Cmd, r *record) error {
	if err := os.MkdirAll(s.State, 0o750); err != nil {
		return err
	}
	log, err := os.OpenFile(s.logPath(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o640)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr, cmd.Env = log, log, append(os.Environ(), "STATE_DIRECTORY="+s.State)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: s.credential()}
	if err := cmd.Start(); err != nil {
		return err
	}
	r.PID = cmd.Process.Pid
	return cmd.Process.Release()
}

// credential returns the user postseal if root runs this program; nil keeps the current user.
func (s *Survey) credential() *syscall.Credential {
	u, err := user.Lookup("postseal")
	if err != nil || os.Geteuid() != 0 {
		return nil
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	if os.Chown(s.State, uid, gid) != nil {
		return nil
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

// Undo reverts what Apply did, in reverse order. kept names files that were changed by hand
// since; they are left unchanged.
func (s *Survey) Undo(ctx context.Context) (kept []string, err error) {
	r, err := s.read()
	if err != nil {
		return nil, err
	}
	if r.Postfix {
		changes, err := s.Postfix.Undo(ctx)
		if err != nil && !errors.Is(err, postfix.ErrNothingToUndo) { // setup postfix --undo was before
			return nil, err
		}
		for _, c := range changes {
			kept = append(kept, c.Where())
		}
		if err := s.reloadPostfix(ctx); err != nil {
			return kept, err
		}
	}
	left, err := s.undoConfig(&r)
	if err != nil {
		return kept, err
	}
	kept = append(kept, left...)
	if err := s.undoDaemon(&r); err != nil {
		return kept, err
	}
	os.Remove(s.logPath())
	return kept, os.Remove(s.recordPath())
}

func (s *Survey) undoConfig(r *record) (kept []string, err error) {
	now, err := os.ReadFile(r.Config)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	case !bytes.Equal(now, r.After):
		return []string{r.Config}, nil
	case r.Existed && !bytes.Equal(r.Before, r.After):
		return nil, s.writeConfig(r.Before)
	case r.Existed:
		return nil, nil
	}
	if err := os.Remove(r.Config); err != nil || r.NewDir == "" {
		return nil, err
	}
	if err := os.Remove(r.NewDir); err != nil && !errors.Is(err, syscall.ENOTEMPTY) {
		return nil, err
	}
	return nil, nil
}

// undoDaemon stops the daemon that Apply started, or makes one that already ran reload its
// configuration.
func (s *Survey) undoDaemon(r *record) error {
	running := endpoint.Read(s.State).PID
	switch {
	case r.Unit:
		if out, err := exec.Command("systemctl", "disable", "--now", "postseal.service").CombinedOutput(); err != nil {
			return fmt.Errorf("systemctl: %w: %s", err, bytes.TrimSpace(out))
		}
	case r.PID > 0 && running == r.PID:
		if err := syscall.Kill(r.PID, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
			return err
		}
		s.awaitEnd(r.PID)
	case r.PID == 0 && running > 0 && !bytes.Equal(r.Before, r.After):
		syscall.Kill(running, syscall.SIGHUP)
	}
	return nil
}

// awaitEnd waits until the daemon has ended: it finishes messages in flight. Whoever removes its user
// and its state next must not meet it.
func (s *Survey) awaitEnd(pid int) {
	limit := time.Duration(s.Config.Limits.Shutdown) + patience
	for begun := time.Now(); time.Since(begun) < limit; time.Sleep(50 * time.Millisecond) {
		if hasEnded(pid) || endpoint.Read(s.State).PID != pid && time.Since(begun) > time.Second {
			return
		}
	}
}

// hasEnded reports whether the process is gone, or a zombie that its parent has not collected: see
// proc_pid_stat(5).
func hasEnded(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return true
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	name := bytes.LastIndexByte(stat, ')')
	return err == nil && name >= 0 && bytes.HasPrefix(stat[name:], []byte(") Z"))
}

// reloadPostfix makes a running Postfix reload main.cf.
func (s *Survey) reloadPostfix(ctx context.Context) error {
	program, err := exec.LookPath("postfix")
	if err != nil {
		program = "/usr/sbin/postfix"
	}
	if exec.CommandContext(ctx, program, "-c", s.Postfix.ConfigDir, "status").Run() != nil {
		return nil // it reads main.cf when it starts
	}
	if out, err := exec.CommandContext(ctx, program, "-c", s.Postfix.ConfigDir, "reload").CombinedOutput(); err != nil {
		return fmt.Errorf("postfix reload: %w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}

func (s *Survey) read() (r record, err error) {
	text, err := os.ReadFile(s.recordPath())
	if errors.Is(err, fs.ErrNotExist) {
		return r, ErrNothingToUndo
	}
	if err != nil {
		return r, err
	}
	return r, json.Unmarshal(text, &r)
}

func (s *Survey) write(r record) error {
	if err := os.MkdirAll(s.State, 0o750); err != nil {
		return err
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return atomicfile.Write(s.recordPath(), append(text, '\n'), atomicfile.Options{Mode: 0o640, Prefix: ".quickstart-", Sync: true})
}

func (s *Survey) writeConfig(text []byte) error {
	if err := os.MkdirAll(filepath.Dir(s.ConfigFile), 0o755); err != nil {
		return err
	}
	return atomicfile.Replace(s.ConfigFile, text, atomicfile.Options{Mode: 0o644, Prefix: ".postseal-", Sync: true})
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
