// Package proxy is the SMTP listener. It sits between the client and the next hop, as Postfix's
// before-queue filter or in front of any other MTA. It forwards commands to the next hop one by
// one and returns its replies, so it accepts only what the next hop accepts. A message is sent
// to the next hop only after its verdict.
//
// It has its own state machine instead of a server library: the capabilities are those of the
// next hop, XFORWARD and XCLIENT name the client, and every line ending other than CRLF must be
// detected (CVE-2023-51764). See docs/adr/0003-own-smtp-session.md.
package proxy
