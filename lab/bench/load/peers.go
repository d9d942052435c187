package main

import (
	"fmt"
	"os"
	"path/filepath"
)

// peer is another milter, as Debian ships it. start writes its configuration into dir, with
// its socket at dir/s, and returns its command line.
type peer struct {
	kind  string
	start func(dir string) (args []string, err error)
}

var peers = []peer{
	{"opendkim", func(dir string) ([]string, error) {
		conf := filepath.Join(dir, "conf")
		return []string{"opendkim", "-f", "-x", conf}, os.WriteFile(conf, []byte("Mode v\nSocket local:"+dir+"/s\nSyslog no\nUserID root\nUMask 000\n"+
			"AuthservID mx.example.net\nAlwaysAddARHeader yes\nInternalHosts 192.0.2.255\n"), 0o600)
	}},
	{"opendmarc", func(dir string) ([]string, error) {
		conf := filepath.Join(dir, "conf")
		return []string{"opendmarc", "-f", "-c", conf}, os.WriteFile(conf, []byte("Socket local:"+dir+"/s\nSyslog false\nUserID root\nUMask 000\n"+
			"AuthservID mx.example.net\nTrustedAuthservIDs mx.example.net\nSPFSelfValidate true\nSPFIgnoreResults true\n"), 0o600)
	}},
	{"rspamd", func(dir string) ([]string, error) {
		local := filepath.Join(dir, "local.d")
		if err := os.MkdirAll(local, 0o755); err != nil {
			return nil, err
		}
		for name, text := range map[string]string{
			"worker-proxy.inc":      `bind_socket = "` + dir + `/s mode=0666"; milter = yes; count = 1; upstream "local" { default = yes; self_scan = yes; }`,
			"worker-normal.inc":     "enabled = false;",
			"worker-controller.inc": `bind_socket = "` + dir + `/controller";`,
			"options.inc":           `dns { nameserver = ["127.0.0.1"]; } control_socket = "` + dir + `/control mode=0600"; pidfile = "` + dir + `/pid";`,
			"logging.inc":           `type = "file"; filename = "` + dir + `/log"; level = "error";`,
			"fuzzy_check.conf":      "enabled = false;",
			"rbl.conf":              "enabled = false;",
		} {
			if err := os.WriteFile(filepath.Join(local, name), []byte(text+"\n"), 0o600); err != nil {
				return nil, err
			}
		}
		args := []string{"rspamd", "-f", "--insecure", "-c", "/etc/rspamd/rspamd.conf"}
		for _, name := range []string{"LOCAL_CONFDIR", "DBDIR", "LOGDIR", "RUNDIR"} {
			args = append(args, "--var="+name+"="+dir)
		}
		return args, nil
	}},
}

// peers measures each peer and ours.
func (l *load) peers() error {
	for _, mail := range []string{"small", "mixed"} {
		for _, kind := range []string{bareMilter, ours} {
			if err := l.row(kind, mail, 8); err != nil {
				return err
			}
		}
		for _, p := range peers {
			if err := l.row(p.kind, mail, 8); err != nil {
				fmt.Printf("%-16s %-6s not measured: %v\n", p.kind, mail, err)
			}
		}
	}
	return nil
}
