// Package proxy is the SMTP listener: it stands between the client and the next hop, as
// Postfix's before-queue filter or before any other MTA. Commands pass to the next hop one
// by one and its replies pass back, so nothing is accepted that the next hop did not
// accept. A message goes to the next hop only after its verdict.
//
// It is a state machine of its own, not a server of a library: the capabilities are those
// of the next hop, XFORWARD and XCLIENT name the client, and no line end but CRLF may pass
// unseen (CVE-2023-51764). See docs/adr/0003-own-smtp-session.md.
package proxy
