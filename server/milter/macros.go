package milter

import "bytes"

// maxMacro limits the value of a macro that is stored.
const maxMacro = 512

// macros are the values from the MTA, as long as they are valid. Those of a message end with
// it, so that a message never appears to come from the authenticated user of the previous one.
type macros struct {
	connection struct{ daemon, clientAddr, clientPort, tls string }
	message    struct{ queueID, user, authType string }
	connecting bool // they came for a connection that has not been announced yet
}

// take reads the macros for command c: pairs of name and value, each terminated by NUL. A name
// is i or {i}. The MTA may send values that we did not request, and omit others.
func (m *macros) take(data []byte) error {
	if len(data) == 0 {
		return malformed("macros without a command")
	}
	switch command(data[0]) {
	case cmdConnect:
		*m = macros{connecting: true}
	case cmdMail:
		m.newMessage()
	}
	for data = data[1:]; len(data) > 0; {
		name, rest, err := cstring(data)
		if err != nil {
			return err
		}
		value, rest, err := cstring(rest)
		if err != nil {
			return err
		}
		m.set(name, value)
		data = rest
	}
	return nil
}

func (m *macros) newMessage() { m.message = struct{ queueID, user, authType string }{} }

func (m *macros) set(name, value []byte) {
	name = bytes.TrimSuffix(bytes.TrimPrefix(name, []byte("{")), []byte("}"))
	var to *string
	switch string(name) {
	case "daemon_name":
		to = &m.connection.daemon
	case "client_addr":
		to = &m.connection.clientAddr
	case "client_port":
		to = &m.connection.clientPort
	case "tls_version":
		to = &m.connection.tls
	case "i":
		to = &m.message.queueID
	case "auth_authen":
		to = &m.message.user
	case "auth_type":
		to = &m.message.authType
	default:
		return
	}
	*to = string(value[:min(len(value), maxMacro)])
}
