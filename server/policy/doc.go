// Package policy is the listener for Postfix's SMTPD access policy protocol
// (SMTPD_POLICY_README). It checks SPF, reverse DNS and null MX at RCPT TO, before the message
// arrives. DMARC needs the message, so the milter or the proxy checks it.
package policy
