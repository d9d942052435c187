package policy

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
)

// The bounds of a request. Postfix cuts most values at 2048 octets.
const (
	maxLine       = 16 << 10
	maxAttributes = 200
)

// request is a policy request: the attributes used here, as received.
type request struct {
	state    string // protocol_state
	instance string
	queueID  string
	client   netip.Addr // the zero value if unknown
	helo     string
	sender   string // "" is the null path
	login    string // sasl_username
}

// errMalformed is wrapped by errors that say what is wrong with a request.
var errMalformed = errors.New("malformed request")

// readRequest reads lines "name=value" up to an empty one. Unknown names are ignored; if a name
// occurs twice, the last one counts. An io.EOF that is not wrapped is an end between two
// requests.
func readRequest(r *bufio.Reader) (*request, error) {
	q := &request{}
	for n := 0; ; n++ {
		line, err := r.ReadSlice('\n')
		switch {
		case err == io.EOF && len(line) == 0 && n == 0:
			return nil, io.EOF
		case err == io.EOF:
			return nil, io.ErrUnexpectedEOF
		case errors.Is(err, bufio.ErrBufferFull):
			return nil, fmt.Errorf("%w: a line of more than %d octets", errMalformed, maxLine)
		case err != nil:
			return nil, err
		case len(line) == 1 && n > 0:
			return q, nil
		case n == maxAttributes:
			return nil, fmt.Errorf("%w: more than %d attributes", errMalformed, maxAttributes)
		}
		if err := q.attribute(string(line[:len(line)-1]), n == 0); err != nil {
			return nil, err
		}
	}
}

func (q *request) attribute(line string, first bool) error {
	name, value, ok := strings.Cut(line, "=")
	switch {
	case !ok || name == "":
		return fmt.Errorf("%w: %.40q is not name=value", errMalformed, line)
	case hasControl(line):
		return fmt.Errorf("%w: a control octet in %.40q", errMalformed, name)
	case first && line != "request=smtpd_access_policy":
		return fmt.Errorf("%w: it starts with %.40q, not with request=smtpd_access_policy", errMalformed, line)
	}
	switch name {
	case "protocol_state":
		q.state = value
	case "instance":
		q.instance = value
	case "queue_id":
		q.queueID = value
	case "client_address":
		q.client = parseClient(value)
	case "helo_name":
		q.helo = value
	case "sender":
		q.sender = value
	case "sasl_username":
		q.login = value
	}
	return nil
}

func hasControl(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] == 0x7f {
			return true
		}
	}
	return false
}

// parseClient returns the zero value for "unknown", and for anything that is not an address.
func parseClient(s string) netip.Addr {
	ip, err := netip.ParseAddr(s)
	if err != nil || ip.Zone() != "" {
		return netip.Addr{}
	}
	return ip.Unmap()
}
