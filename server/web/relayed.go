package web

import (
	"bytes"
	"io"

	"postseal"
	"postseal/internal/app/clients"
	"postseal/internal/app/mailbox"
	"postseal/message"
	"postseal/server/listener"
)

// relayed returns the connection, the HELO name and the body of a posted message. If its client is
// one of our relays, they are those of the client that the relay's trace fields name, as for the
// other listeners.
func relayed(s *listener.Snapshot, conn postseal.Conn, helo string, body io.Reader) (postseal.Conn, string, io.Reader) {
	relay := conn.Remote.Addr()
	if s.Clients.Judge(clients.Client{IP: relay}) != clients.Relayed {
		return conn, helo, body
	}
	var seen bytes.Buffer
	header := &message.Header{}
	// The verification meets an error of the body, or a limit, again.
	_ = message.Stream(mailbox.HeaderSink{Header: header}, io.TeeReader(body, &seen), s.HeaderLimits)
	origin, _ := s.Clients.Relayed(relay, header, 0, conn.User)
	return origin.Conn, origin.Helo, io.MultiReader(&seen, body)
}
