package cli

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"

	"postseal"
	"postseal/internal/domain"
	"postseal/internal/nearest"
)

// config is the part of the configuration file that a single run uses. The tables of
// the daemon are let through unread, so that one file serves both.
type config struct {
	AuthservID string    `toml:"authserv_id"`
	Enforce    enforce   `toml:"enforce"`
	DNS        dnsConfig `toml:"dns"`
	ARC        arcConfig `toml:"arc"`

	Listen map[string]any `toml:"listen"`
	Proxy  map[string]any `toml:"proxy"`
	Store  map[string]any `toml:"store"`
}

type dnsConfig struct {
	Servers []server `toml:"servers"`
	Timeout duration `toml:"timeout"`
	OnError onError  `toml:"on_error"`
}

type arcConfig struct {
	TrustedSealers []sealer `toml:"trusted_sealers"`
}

func (c arcConfig) names() []string {
	list := make([]string, len(c.TrustedSealers))
	for i, s := range c.TrustedSealers {
		list[i] = s.domain
	}
	return list
}

// The values are structs: the decoder asks no UnmarshalText of what is a string in Go.
type (
	enforce  struct{ mode postseal.Enforce }
	onError  struct{ mode postseal.OnError }
	server   struct{ address string }
	sealer   struct{ domain string }
	duration time.Duration
)

var (
	enforceModes = []string{string(postseal.Observe), string(postseal.EnforceQuarantine), string(postseal.Guarded), string(postseal.Strict)}
	onErrorModes = []string{string(postseal.OnErrorAuto), string(postseal.OnErrorAccept), string(postseal.OnErrorDefer)}
)

// UnmarshalText implements encoding.TextUnmarshaler.
func (e *enforce) UnmarshalText(text []byte) error {
	e.mode = postseal.Enforce(text)
	return among(string(text), enforceModes)
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (o *onError) UnmarshalText(text []byte) error {
	o.mode = postseal.OnError(text)
	return among(string(text), onErrorModes)
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *server) UnmarshalText(text []byte) error {
	var err error
	s.address, err = serverAddress(string(text))
	return err
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *sealer) UnmarshalText(text []byte) error {
	name, err := domain.Parse(string(text))
	s.domain = string(name)
	return err
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *duration) UnmarshalText(text []byte) error {
	t, err := time.ParseDuration(string(text))
	if err != nil || t <= 0 {
		return fmt.Errorf("%q is no duration such as \"5s\"", text)
	}
	*d = duration(t)
	return nil
}

func among(value string, allowed []string) error {
	for _, v := range allowed {
		if v == value {
			return nil
		}
	}
	msg := fmt.Sprintf("%q is not one of %s", value, strings.Join(allowed, ", "))
	if guess := nearest.Of(value, allowed); guess != "" {
		msg += fmt.Sprintf("; did you mean %q?", guess)
	}
	return errors.New(msg)
}

// serverAddress checks the address of a name server and adds port 53.
func serverAddress(s string) (string, error) {
	if host, port, err := net.SplitHostPort(s); err == nil {
		if host == "" || port == "" {
			return "", fmt.Errorf("%q is no HOST:PORT", s)
		}
		if _, err := net.LookupPort("udp", port); err != nil {
			return "", fmt.Errorf("%q is no port", port)
		}
		return s, nil
	}
	host := strings.TrimSuffix(strings.TrimPrefix(s, "["), "]")
	if host == "" || strings.ContainsAny(host, " /@") {
		return "", fmt.Errorf("%q is no HOST[:PORT]", s)
	}
	return net.JoinHostPort(host, "53"), nil
}

const maxConfig = 1 << 20

// loadConfig reads --config. Every error is reported as file:line:col.
func (a *app) loadConfig() error {
	path := a.flags.config
	if path == "" {
		return nil
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		f := openFailure(path, err)
		f.code = exitConfig
		return f
	case info.IsDir():
		return failf(exitConfig, "%s: is a directory, not a configuration file", path)
	case info.Size() > maxConfig:
		return failf(exitConfig, "%s: is larger than 1 MiB", path)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		f := openFailure(path, err)
		f.code = exitConfig
		return f
	}
	decoder := toml.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&a.config); err != nil {
		return configFailure(path, err)
	}
	return nil
}

var configKeys = []string{"authserv_id", "enforce", "dns", "servers", "timeout", "on_error", "listen", "proxy", "store", "arc", "trusted_sealers"}

func configFailure(path string, err error) *failure {
	var unknown *toml.StrictMissingError
	if errors.As(err, &unknown) {
		lines := make([]string, 0, len(unknown.Errors))
		for i := range unknown.Errors {
			e := &unknown.Errors[i]
			row, column := e.Position()
			key := e.Key()
			line := fmt.Sprintf("%s:%d:%d: there is no key %q", path, row, column, strings.Join(key, "."))
			if len(key) > 0 {
				if guess := nearest.Of(key[len(key)-1], configKeys); guess != "" {
					line += fmt.Sprintf("; did you mean %q?", guess)
				}
			}
			lines = append(lines, line)
		}
		return failf(exitConfig, "%s", strings.Join(lines, "\n"))
	}
	var wrong *toml.DecodeError
	if errors.As(err, &wrong) {
		row, column := wrong.Position()
		msg := strings.TrimPrefix(wrong.Error(), "toml: ")
		if key := wrong.Key(); len(key) > 0 {
			msg = strings.Join(key, ".") + ": " + msg
		}
		return failf(exitConfig, "%s:%d:%d: %s", path, row, column, msg)
	}
	return failf(exitConfig, "%s: %v", path, err)
}
