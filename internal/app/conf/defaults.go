package conf

import (
	"os"
	"path/filepath"
	"time"

	"postseal"
	"postseal/dkim"
	"postseal/dmarc"
	"postseal/internal/core/middleware"
	"postseal/message"
	"postseal/resolver"
	"postseal/spf"
	"postseal/store/evidence"
)

// UsualPath is where the packages install the configuration. Commands about the daemon read it
// if it exists and no other file is named.
const UsualPath = "/etc/postseal/postseal.toml"

// The default listeners. OpenDKIM and OpenDMARC usually use 8891 to 8893.
const (
	DefaultMilter Address = "127.0.0.1:8895"
	DefaultPolicy Address = "127.0.0.1:8892"
	DefaultHTTP   Address = "127.0.0.1:8896"
)

// DefaultListen returns the listeners of a configuration that names none.
func DefaultListen() Listen {
	return Listen{Milter: DefaultMilter, Policy: DefaultPolicy, HTTP: DefaultHTTP, SocketMode: 0o660}
}

// SystemState is the state directory of a daemon that root or systemd starts.
const SystemState = "/var/lib/postseal"

// StateDir returns the state directory: $STATE_DIRECTORY, which systemd sets, else SystemState
// for root, else postseal in $XDG_STATE_HOME. It is "" for a user without a home directory.
func StateDir() string {
	if dirs := filepath.SplitList(os.Getenv("STATE_DIRECTORY")); len(dirs) > 0 && dirs[0] != "" {
		return dirs[0]
	}
	if os.Geteuid() == 0 {
		return SystemState
	}
	if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "postseal")
	}
	if home, err := os.UserHomeDir(); err == nil && filepath.IsAbs(home) {
		return filepath.Join(home, ".local/state/postseal")
	}
	return ""
}

// ConsoleToken returns the file of the token that the daemon creates if none is configured, or
// "" without a state directory.
func ConsoleToken() string {
	if state := StateDir(); state != "" {
		return filepath.Join(state, "console.token")
	}
	return ""
}

// RefusalKey returns the file of the key with which replies link to the rejection page, or ""
// without a state directory.
func RefusalKey() string {
	if state := StateDir(); state != "" {
		return filepath.Join(state, "refusal.key")
	}
	return ""
}

// SharedCopy returns the file of the last shared configuration, or "" without a state directory.
func SharedCopy() string {
	if state := StateDir(); state != "" {
		return filepath.Join(state, "shared-config.json")
	}
	return ""
}

// BundlesIn returns the bundle directory in a state directory.
func BundlesIn(state string) string { return filepath.Join(state, "bundles") }

// IsDefaultBundles reports whether dir is the default bundle directory.
func IsDefaultBundles(dir string) bool { return dir != "" && dir == defaultBundles() }

func defaultBundles() string {
	if state := StateDir(); state != "" {
		return BundlesIn(state)
	}
	return ""
}

// listenerKeys are the keys of [listen] that name a listener. public is not one of them: it
// adds a page to the listeners that exist.
var listenerKeys = []string{"milter", "policy", "smtp", "submission", "submissions", "http"}

// namesListener reports whether the file names a listener, even a disabled one ("").
func (d *decoder) namesListener() bool {
	for _, key := range listenerKeys {
		if _, named := d.places["listen."+key]; named {
			return true
		}
	}
	return false
}

// Default is the configuration of an empty file.
func Default() *Config {
	return &Config{
		Enforce: postseal.Guarded,
		Fleet:   Fleet{Config: "own"},
		Listen:  DefaultListen(),
		Network: Network{Trusted: []Prefix{mustPrefix("127.0.0.0/8"), mustPrefix("::1/128")}, TrustedRelays: []Prefix{}, Originating: []string{"ORIGINATING"}},
		DNS: DNS{Servers: []Server{}, Timeout: Duration(5 * time.Second), OnError: postseal.OnErrorAuto, Validating: []Prefix{mustPrefix("127.0.0.0/8"), mustPrefix("::1/128")},
			Cache: resolver.DefaultCacheBytes, Stale: Grace(24 * time.Hour), Outstanding: middleware.DefaultOutstanding},
		SPF: SPF{Fail: "header", SoftFail: "header", PermError: "header", TempError: "header", HeloFail: "header",
			Lookups: spf.DefaultLookups, VoidLookups: spf.DefaultVoidLookups, Timeout: Duration(spf.DefaultTime)},
		Policy: Policy{ReceivedSPF: true, NullMX: "reject", IPRev: "accept"},
		DKIM:   DKIM{MaxSignatures: dkim.DefaultSignatures, MaxRSABits: dkim.DefaultKeyBits},
		DMARC:  DMARC{Discovery: dmarc.TreeWalk, PSLGuard: true, QuarantineWith: "header", Protected: []Domain{}},
		Proxy: Proxy{Peers: []Prefix{mustPrefix("127.0.0.0/8"), mustPrefix("::1/128")}, ClientInfo: "auto",
			Message: 64 << 20, Memory: 256 << 10, Spool: 1 << 30, Timeout: Duration(5 * time.Minute)},
		ARC:     ARC{TrustedSealers: []Domain{}, MaxAge: Duration(postseal.DefaultSealAge)},
		Bundles: Bundles{Dir: defaultBundles(), Keep: "refused", MaxSize: evidence.DefaultMaxBytes, MaxAge: Duration(evidence.DefaultMaxAge)},
		Web:     Web{Hosts: []Domain{}, TrustedProxies: []Prefix{}},
		Store:   defaultStore(),
		Report:  defaultReport(),
		Notify:  Notify{SmartHost: "127.0.0.1:25", DNS: Duration(2 * time.Minute), Spike: 3, Store: Duration(10 * time.Minute), Exemptions: Duration(7 * 24 * time.Hour)},
		Trial:   Trial{Enforce: "same", Discovery: "same"},
		Log:     Log{Level: "info", Format: "auto", Privacy: true},
		Limits: Limits{Connections: 1000, Message: Duration(postseal.DefaultTimeout), Shutdown: Duration(30 * time.Second),
			Header: message.DefaultHeaderBytes, Field: message.DefaultFieldBytes, Fields: message.DefaultFields,
			Queries: resolver.DefaultQueries, HTTPMessage: 64 << 20},
	}
}
