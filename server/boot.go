package server

import (
	"errors"
	"io/fs"
	"net"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"postseal/server/listener"
)

// The pauses while the host is starting.
const (
	bootPause    = time.Second
	maxBootPause = 15 * time.Second
)

// isStarting reports whether err may be gone by itself as the host starts: /etc/resolv.conf is
// missing, the name of a name server cannot be resolved, an interface has no address yet. All
// else is for a person to fix.
func isStarting(err error) bool {
	var unresolved *net.DNSError
	return errors.Is(err, fs.ErrNotExist) && errors.Is(err, errNoServers) || errors.As(err, &unresolved) || errors.Is(err, syscall.EADDRNOTAVAIL)
}

// errNoServers marks that the system names no name server.
var errNoServers = errors.New("[dns] servers is not set, and the system names none")

// waitFor tries until the host is ready, or stop is closed. Until then no listener is open:
// Postfix answers 451 by itself, as for any milter or policy service that is away.
func (d *Daemon) waitFor(try func() error) error {
	for pause := bootPause; ; pause = min(2*pause, maxBootPause) {
		err := try()
		if err == nil || !isStarting(err) {
			return err
		}
		d.log.Warn("the host is not ready yet: mail is deferred, trying again", "error", listener.Text(err), "pause", pause.String())
		daemon.SdNotify(false, "EXTEND_TIMEOUT_USEC=60000000") // no systemd, no matter
		select {
		case <-time.After(pause):
		case <-d.options.Stop:
			return err
		}
	}
}
