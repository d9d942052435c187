package server

import (
	"log/slog"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// notifier tells systemd how we are (sd_notify(3)). Elsewhere it does nothing.
type notifier struct {
	log      *slog.Logger
	ticker   *time.Ticker
	watchdog <-chan time.Time // when the next sign of life is due; nil without a watchdog
}

func newNotifier(log *slog.Logger) *notifier {
	n := &notifier{log: log}
	interval, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		log.Warn("the systemd watchdog cannot be used", "error", err.Error())
	}
	if interval > 0 {
		n.ticker = time.NewTicker(interval / 2)
		n.watchdog = n.ticker.C
	}
	return n
}

func (n *notifier) send(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		n.log.Warn("cannot notify systemd", "state", state, "error", err.Error())
	}
}

func (n *notifier) ready()    { n.send(daemon.SdNotifyReady) }
func (n *notifier) alive()    { n.send(daemon.SdNotifyWatchdog) }
func (n *notifier) stopping() { n.send(daemon.SdNotifyStopping) }
func (n *notifier) reloading() {
	n.send(daemon.SdNotifyReloading + "\n" + daemon.SdNotifyMonotonicUsec())
}

func (n *notifier) stop() {
	if n.ticker != nil {
		n.ticker.Stop()
	}
}
