package server

import (
	"errors"
	"io/fs"
	"net"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"postseal/resolver/stub"
	"postseal/server/listener"
)

// The pauses while the host is starting.
const (
	bootPause    = time.Second
	maxBootPause = 15 * time.Second
)

// isStarting reports whether err may disappear while the host is starting: /etc/resolv.conf is
// missing or names no server yet, the name of a name server cannot be resolved, an interface has no address yet.
// Everything else needs a person to fix it.
func isStarting(err error) bool {
	var unresolved *net.DNSError
	noFile := errors.Is(err, fs.ErrNotExist) || errors.Is(err, stub.ErrNoServers)
	return noFile && errors.Is(err, errNoServers) || errors.As(err, &unresolved) || errors.Is(err, syscall.EADDRNOTAVAIL)
}

// errNoServers means that the system configuration names no name server.
var errNoServers = errors.New("[dns] servers is not set, and the system configuration names no name server")

// waitFor tries until the host is ready, or stop is closed. Until then no listener is open:
// Postfix then answers 451, as for any milter or policy service that is down.
func (d *Daemon) waitFor(try func() error) error {
	for pause := bootPause; ; pause = min(2*pause, maxBootPause) {
		err := try()
		if err == nil || !isStarting(err) {
			return err
		}
		d.log.Warn("the host is not ready yet: mail is deferred, trying again", "error", listener.Text(err), "pause", pause.String())
		daemon.SdNotify(false, "EXTEND_TIMEOUT_USEC=60000000") // without systemd this does nothing
		select {
		case <-time.After(pause):
		case <-d.options.Stop:
			return err
		}
	}
}
