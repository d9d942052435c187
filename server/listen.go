package server

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/activation"

	"postseal/internal/app/conf"
	"postseal/server/listener"
)

// aliases are other names under which systemd may pass the http socket.
var aliases = map[string]string{"ui": listener.HTTP, "metrics": listener.HTTP}

// inherited are the sockets that systemd passed, by FileDescriptorName (sd_listen_fds(3)).
func inherited() (map[string][]net.Listener, error) {
	named, err := activation.ListenersWithNames()
	if err != nil {
		return nil, err
	}
	all := map[string][]net.Listener{}
	for name, listeners := range named {
		if other, ok := aliases[name]; ok {
			name = other
		}
		for _, l := range listeners {
			if l == nil {
				return nil, fmt.Errorf("the socket %q of systemd is not a stream socket", name)
			}
			all[name] = append(all[name], l)
		}
	}
	return all, nil
}

// listen opens a listener. A unix socket without a listener was left behind by another process,
// so it is removed first.
func listen(a conf.Address, mode conf.Mode) (net.Listener, error) {
	network, address := a.Network()
	l, err := net.Listen(network, address)
	if network == "unix" && errors.Is(err, syscall.EADDRINUSE) && stale(address) {
		if err := os.Remove(address); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		l, err = net.Listen(network, address)
	}
	if err != nil {
		return nil, err
	}
	if network == "unix" {
		if err := os.Chmod(address, os.FileMode(mode)); err != nil {
			return nil, errors.Join(err, l.Close())
		}
	}
	return l, nil
}

// stale reports whether path is a unix socket that refuses connections.
func stale(path string) bool {
	info, err := os.Lstat(path)
	if err != nil || info.Mode()&fs.ModeSocket == 0 {
		return false
	}
	c, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		c.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}
