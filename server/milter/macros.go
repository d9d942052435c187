package milter

import "bytes"

// maxMacro bounds the value of a macro that is kept.
const maxMacro = 512

// macros are the values that the MTA gave, as long as they hold: those of the message end
// with it, so that no message is taken for one of an authenticated user after another.
type macros struct {
	connection struct{ daemon, clientAddr, clientPort, tls string }
	message    struct{ queueID, user, authType string }
}

// take reads the macros for command c: pairs of name and value, each with its NUL. A name is
// i or {i}. Values come for what we did not ask for, and may be absent.
func (m *macros) take(data []byte) error {
	if len(data) == 0 {
		return malformed("macros without the command they are for")
	}
	switch command(data[0]) {
	case cmdConnect:
		*m = macros{}
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
