package refusal

import (
	"time"

	"golang.org/x/time/rate"

	"postseal/server/web"
)

// The bounds of the page: requests of a client (an IPv4 address or an IPv6 /64) and of all clients
// together, concurrent reads of the store, and clients that are counted separately.
const (
	perMinute  = 30
	perSecond  = 20
	maxReads   = 4
	maxClients = 4096
)

func newLimits() *web.ClientLimits {
	return &web.ClientLimits{All: rate.NewLimiter(perSecond, perSecond), Each: rate.Every(time.Minute / perMinute), Burst: perMinute, MaxClients: maxClients}
}
