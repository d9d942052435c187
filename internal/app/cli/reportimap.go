package cli

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"

	"postseal/internal/app/imapbox"
)

// imapFlags are those of an IMAP folder.
type imapFlags struct{ passwordFile, moveTo string }

// maxPassword bounds the file of a password.
const maxPassword = 4096

// readFolder reads the mails of an IMAP folder.
func (in *reportInput) readFolder(ctx context.Context, text string) error {
	folder, err := imapbox.Parse(text)
	if err != nil {
		return usage("%q: %v", text, err).or("use imaps://dmarc@mail.acme.test/INBOX")
	}
	if in.imap.passwordFile == "" {
		return usage("%s: missing --password-file", text)
	}
	if in.imap.moveTo != "" && in.keep == nil {
		return failf(exitNoInput, "no history: mail is moved only once its reports are kept").or("name a database with --store sqlite:PATH")
	}
	octets, err := os.ReadFile(in.imap.passwordFile)
	if err != nil {
		return openFailure(in.imap.passwordFile, err)
	}
	if len(octets) > maxPassword {
		return failf(exitData, "%s is not a password", in.imap.passwordFile)
	}
	password := strings.TrimRight(string(octets), "\r\n")
	err = imapbox.Read(ctx, folder, password, in.imap.moveTo, func(m imapbox.Mail) (bool, error) {
		if m.Octets == nil {
			in.a.setExit(exitData)
			in.a.fail(failf(exitData, "%s: a mail of %d octets is too large", m.Name, m.Size))
			return false, nil
		}
		if err := in.read(ctx, m.Name, bytes.NewReader(m.Octets)); err != nil {
			return false, err
		}
		return in.keep != nil && in.last.Reports > 0 && in.last.Refused == 0, nil
	})
	var f *failure
	switch {
	case err == nil, errors.As(err, &f):
		return err
	case ctx.Err() != nil:
		return failf(exitTempFail, "interrupted")
	}
	return failf(exitUnavailable, "%s: %v", text, err)
}
