// Package policy is the listener for Postfix's SMTPD access policy protocol
// (SMTPD_POLICY_README): SPF, reverse DNS and null MX at RCPT TO, before the message comes.
// DMARC needs the message: that is for the milter or the proxy.
package policy
