package server

import (
	"os"

	"postseal/internal/app/endpoint"
	"postseal/server/listener"
)

// record writes the addresses of the daemon's listeners to the state directory, for setup and
// doctor, because sockets passed by systemd are not in the configuration. The returned function
// removes the file.
func (d *Daemon) record() (remove func()) {
	state := d.options.State
	if state == "" {
		return func() {}
	}
	r := endpoint.Record{Version: d.options.Version, PID: os.Getpid(), AuthservID: d.config.AuthservID, Enforce: string(d.config.Enforce)}
	for _, s := range d.services {
		address := s.listener.Addr().String()
		if s.listener.Addr().Network() == "unix" {
			address = "unix:" + address
		}
		r.Listeners = append(r.Listeners, endpoint.Listener{Name: s.name, Address: address})
	}
	if err := endpoint.Write(state, r); err != nil {
		d.log.Warn("setup and doctor cannot find the listeners of the daemon: its state directory cannot be written", "dir", state, "error", listener.Text(err))
		return func() {}
	}
	return func() {
		if endpoint.Read(state).PID == r.PID {
			endpoint.Remove(state)
		}
	}
}
