// Package endpoint finds the daemon's listeners: from the running daemon, the systemd units,
// and the configuration. Setup, doctor and quickstart share it.
package endpoint

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"postseal/internal/app/atomicfile"
	"postseal/internal/app/conf"
)

// The names of listeners that this package looks for.
const (
	Milter = "milter"
	Policy = "policy"
	HTTP   = "http"
	Public = "public"
	SMTP   = "smtp"
)

// Record is what a running daemon writes about itself in its state directory.
type Record struct {
	Schema     string     `json:"schema"`
	Version    string     `json:"version"`
	PID        int        `json:"pid"`
	AuthservID string     `json:"authserv_id"`
	Enforce    string     `json:"enforce"`
	Listeners  []Listener `json:"listeners"`
}

// Listener is one listener: Address is unix:PATH or HOST:PORT.
type Listener struct {
	Name    string `json:"name"`
	Address string `json:"address"`
}

const (
	recordName   = "daemon.json"
	recordSchema = "postseal.daemon/1"
)

// Write stores r in the state directory for other commands.
func Write(state string, r Record) error {
	if err := os.MkdirAll(state, 0o750); err != nil {
		return err
	}
	r.Schema = recordSchema
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return atomicfile.Write(filepath.Join(state, recordName), append(text, '\n'), atomicfile.Options{Mode: 0o640, Prefix: ".daemon-"})
}

// Remove deletes the record, because the daemon has stopped.
func Remove(state string) error {
	err := os.Remove(filepath.Join(state, recordName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Read returns the record of a state directory. If there is none it returns the zero Record.
// The record may come from a daemon that was killed: see Finder.Find.
func Read(state string) Record {
	var r Record
	text, err := os.ReadFile(filepath.Join(state, recordName))
	if err != nil || json.Unmarshal(text, &r) != nil || r.Schema != recordSchema {
		return Record{}
	}
	return r
}

// unitDirs are the directories where systemd looks for units (systemd.unit(5)); the first match wins.
var unitDirs = []string{"/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"}

// Units returns the address of each socket unit of postseal, by its FileDescriptorName, on a
// host that runs systemd.
func Units() map[string]string {
	found := map[string]string{}
	if _, err := os.Stat("/run/systemd/system"); err != nil {
		return found
	}
	for _, dir := range unitDirs {
		paths, _ := filepath.Glob(filepath.Join(dir, "postseal*.socket"))
		for _, path := range paths {
			if name, address := unit(path); name != "" && found[name] == "" {
				found[name] = address
			}
		}
	}
	return found
}

// unit reads the name and the address of a socket unit.
func unit(path string) (name, address string) {
	f, err := os.Open(path)
	if err != nil {
		return "", ""
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		key, value, _ := strings.Cut(lines.Text(), "=")
		switch strings.TrimSpace(key) {
		case "FileDescriptorName":
			name = strings.TrimSpace(value)
		case "ListenStream":
			if address = strings.TrimSpace(value); strings.HasPrefix(address, "/") {
				address = "unix:" + address
			}
		}
	}
	return name, address
}

// Finder finds a listener.
type Finder struct {
	Config *conf.Config
	Record Record            // of the running daemon
	Units  map[string]string // see Units
}

// NewFinder returns a Finder for the daemon of c on this host.
func NewFinder(c *conf.Config) *Finder {
	f := &Finder{Config: c, Units: Units()}
	for _, state := range []string{conf.StateDir(), conf.SystemState} {
		if f.Record = Read(state); f.Record.PID != 0 {
			break
		}
	}
	return f
}

// Found is where a listener is.
type Found struct {
	Name    string
	Address string // "" if nothing names this listener
	Err     error  // why it does not answer; nil if it does
}

// Find returns the first of these addresses that answers: from the daemon, from systemd, from
// the configuration. If none does, it returns the expected address, with the reason.
func (f *Finder) Find(ctx context.Context, name string) Found {
	var first Found
	for _, address := range f.candidates(name) {
		found := Found{name, address, Answers(ctx, name, address)}
		if found.Err == nil {
			return found
		}
		if first.Name == "" {
			first = found
		}
	}
	first.Name = name
	return first
}

// candidates returns the addresses where a listener may be. A unit counts only if the running
// daemon does not say otherwise.
func (f *Finder) candidates(name string) []string {
	var list []string
	add := func(address string) {
		for _, known := range list {
			if known == address {
				return
			}
		}
		if address != "" {
			list = append(list, address)
		}
	}
	for _, l := range f.Record.Listeners {
		if l.Name == name {
			add(l.Address)
		}
	}
	add(f.Units[name])
	add(configured(&f.Config.Listen, name))
	return list
}

func configured(l *conf.Listen, name string) string {
	switch name {
	case Milter:
		return string(l.Milter)
	case Policy:
		return string(l.Policy)
	case HTTP:
		return string(l.HTTP)
	case SMTP:
		return string(l.SMTP)
	}
	return ""
}
