package milter

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// The protocol versions that we support. 2 is Sendmail 8.11, 6 is Sendmail 8.14 and Postfix
// since 2.6.
const (
	oldest = 2
	newest = 6
)

// actions are what a filter may do (SMFIF_*).
type actions uint32

const (
	addHeaders    actions = 0x01 // insert counts as add
	changeHeaders actions = 0x10
	quarantine    actions = 0x20
	requestMacros actions = 0x100
)

// steps are protocol steps that a filter wants to skip or change (SMFIP_*).
type steps uint32

const (
	noUnknown        steps = 0x100
	noReplyHeader    steps = 0x80
	noReplyConnect   steps = 0x1000
	noReplyHelo      steps = 0x2000
	noReplyMail      steps = 0x4000
	noReplyRcpt      steps = 0x8000
	noReplyData      steps = 0x10000
	noReplyUnknown   steps = 0x20000
	noReplyEndHeader steps = 0x40000
	noReplyBody      steps = 0x80000
	leadingSpace     steps = 0x100000 // values keep their leading space in both directions
)

// wanted: no reply before the end of the message, because there is only one verdict and each
// reply is a round trip; and values as they were received, because c=simple signs them so (RFC
// 6376 §3.4.1).
const wanted = noUnknown | noReplyHeader | noReplyConnect | noReplyHelo | noReplyMail | noReplyRcpt | noReplyData |
	noReplyUnknown | noReplyEndHeader | noReplyBody | leadingSpace

// noReply maps commands to the step that suppresses their reply.
var noReply = map[command]steps{cmdConnect: noReplyConnect, cmdHelo: noReplyHelo, cmdMail: noReplyMail, cmdRcpt: noReplyRcpt,
	cmdData: noReplyData, cmdHeader: noReplyHeader, cmdEndHeader: noReplyEndHeader, cmdBody: noReplyBody, cmdUnknown: noReplyUnknown}

// macroRequests are the macros that we use, by stage (SMFIM_*): 0 connect, 1 helo, 2 mail, 5
// end of message.
var macroRequests = []struct {
	stage uint32
	names []string
}{
	{0, []string{"j", "{daemon_name}", "{client_addr}", "{client_port}"}},
	{1, []string{"{tls_version}"}},
	{2, []string{"i", "{auth_authen}", "{auth_type}"}},
	{5, []string{"i"}},
}

// terms are the negotiated options.
type terms struct {
	version uint32
	actions actions
	steps   steps
}

// negotiate selects what both sides support, and returns the answer.
func negotiate(data []byte, hold bool) (terms, []byte, error) {
	if len(data) < 12 {
		return terms{}, nil, &ProtocolError{"negotiation", fmt.Sprintf("an offer of %d octets, want 12", len(data))}
	}
	t := terms{version: min(binary.BigEndian.Uint32(data), newest)}
	if t.version < oldest {
		return terms{}, nil, &ProtocolError{"negotiation", fmt.Sprintf("version %d is older than %d", t.version, oldest)}
	}
	want := addHeaders | changeHeaders | requestMacros
	if hold {
		want |= quarantine
	}
	t.actions = actions(binary.BigEndian.Uint32(data[4:])) & want
	t.steps = steps(binary.BigEndian.Uint32(data[8:])) & wanted
	answer := binary.BigEndian.AppendUint32(nil, t.version)
	answer = binary.BigEndian.AppendUint32(answer, uint32(t.actions))
	answer = binary.BigEndian.AppendUint32(answer, uint32(t.steps))
	if t.actions&requestMacros != 0 {
		for _, r := range macroRequests {
			answer = binary.BigEndian.AppendUint32(answer, r.stage)
			answer = append(append(answer, strings.Join(r.names, " ")...), 0)
		}
	}
	return t, answer, nil
}

// missing names features that the MTA does not offer but verdicts need.
func (t terms) missing(hold bool) []string {
	var list []string
	if t.actions&addHeaders == 0 {
		list = append(list, "adding header fields")
	}
	if t.actions&changeHeaders == 0 {
		list = append(list, "removing forged header fields")
	}
	if hold && t.actions&quarantine == 0 {
		list = append(list, "quarantine")
	}
	if t.steps&leadingSpace == 0 {
		list = append(list, "header values with their leading space")
	}
	return list
}

// silent reports whether the MTA expects no reply to c.
func (t terms) silent(c command) bool { return t.steps&noReply[c] != 0 }
