package conf

import (
	"errors"
	"fmt"
	"net/mail"
	"net/url"
	"os"
	"strings"
)

// Any reports whether there is a way to tell anyone.
func (n *Notify) Any() bool { return len(n.Command) > 0 || n.WebhookFile != "" || len(n.Mail) > 0 }

// Webhook returns the URL in WebhookFile, "" without one. No error holds it.
func (n *Notify) Webhook() (string, error) {
	if n.WebhookFile == "" {
		return "", nil
	}
	text, err := os.ReadFile(n.WebhookFile)
	if err != nil {
		return "", fmt.Errorf("[notify] webhook_file: %w", err)
	}
	u, err := url.Parse(strings.TrimSpace(string(text)))
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return "", errors.New("[notify] webhook_file: " + n.WebhookFile + " does not hold an http or https URL")
	}
	return u.String(), nil
}

// checkNotify finds what no single value of [notify] shows.
func (d *decoder) checkNotify(n *Notify) {
	for _, a := range n.Mail {
		d.checkMailbox("notify.mail", a)
	}
	if n.From != "" {
		d.checkMailbox("notify.from", n.From)
	}
	if len(n.Command) > 0 && !strings.HasPrefix(n.Command[0], "/") {
		d.problem("notify.command", "%q does not begin with a slash: give the whole path of the program", n.Command[0])
	}
}

func (d *decoder) checkMailbox(key, address string) {
	a, err := mail.ParseAddress(address)
	if err != nil || a.Name != "" || a.Address != address || strings.ContainsFunc(address, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' }) {
		d.problem(key, "%q is not a mail address such as \"postmaster@example.net\"", address)
	}
}
