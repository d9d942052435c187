// Package imapbox reads the mails of an IMAP folder, and moves those that were dealt with.
package imapbox

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

// Folder is a folder on a server.
type Folder struct {
	Address string // HOST:PORT
	TLS     bool
	User    string
	Name    string
}

// Parse reads imaps://USER@HOST[:PORT]/FOLDER. imap:// is for this host alone, since it would
// show the password to others. The folder is INBOX if none is named.
func Parse(text string) (f Folder, err error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "imaps" && u.Scheme != "imap" || u.Hostname() == "" || u.User.Username() == "" {
		return f, errors.New("not imaps://USER@HOST/FOLDER")
	}
	if _, has := u.User.Password(); has {
		return f, errors.New("a password in the URL is visible to other users: use --password-file")
	}
	f = Folder{TLS: u.Scheme == "imaps", User: u.User.Username(), Name: strings.Trim(u.Path, "/")}
	port := u.Port()
	if port == "" {
		port = map[bool]string{true: "993", false: "143"}[f.TLS]
	}
	if ip := net.ParseIP(u.Hostname()); !f.TLS && u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return f, errors.New("imap:// sends the password unencrypted: use imaps://")
	}
	if f.Name == "" {
		f.Name = "INBOX"
	}
	f.Address = net.JoinHostPort(u.Hostname(), port)
	return f, nil
}

// maxMail bounds what is read, in octets.
const maxMail = 64 << 20

// Mail is one mail of a folder.
type Mail struct {
	Name   string // FOLDER and its number, for people
	Octets []byte
	Size   int64 // where it is too large to be read, Octets are nil
}

// Read gives each mail that is in the folder now to f. Where f reports done, the mail is moved to
// moveTo, unless that is "". A mail that f does not report done, and one after an error, stays
// where it is; none is marked as seen.
func Read(ctx context.Context, folder Folder, password, moveTo string, f func(Mail) (done bool, err error)) error {
	c, err := connect(ctx, folder)
	if err != nil {
		return err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })() //nolint:errcheck // it ends what waits
	if err := c.Login(folder.User, password).Wait(); err != nil {
		return fmt.Errorf("login as %s: %w", folder.User, err)
	}
	if _, err := c.Select(folder.Name, nil).Wait(); err != nil {
		return fmt.Errorf("folder %s: %w", folder.Name, err)
	}
	found, err := c.UIDSearch(&imap.SearchCriteria{}, nil).Wait()
	if err != nil {
		return err
	}
	if moveTo != "" {
		c.Create(moveTo, nil).Wait() //nolint:errcheck // it may exist; if not, the move says so
	}
	for _, uid := range found.AllUIDs() {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		m, there, err := fetch(c, folder.Name, uid)
		if err != nil {
			return err
		}
		if !there {
			continue
		}
		done, err := f(m)
		if err != nil {
			return err
		}
		if done && moveTo != "" {
			if _, err := c.Move(imap.UIDSetNum(uid), moveTo).Wait(); err != nil {
				return fmt.Errorf("moving %s to %s: %w", m.Name, moveTo, err)
			}
		}
	}
	return c.Logout().Wait()
}

func connect(ctx context.Context, folder Folder) (*imapclient.Client, error) {
	d := net.Dialer{Timeout: 30 * time.Second}
	conn, err := d.DialContext(ctx, "tcp", folder.Address)
	if err != nil {
		return nil, err
	}
	if folder.TLS {
		host, _, _ := net.SplitHostPort(folder.Address)
		secure := tls.Client(conn, &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12})
		if err := secure.HandshakeContext(ctx); err != nil {
			conn.Close() //nolint:errcheck // the cause is err
			return nil, err
		}
		conn = secure
	}
	return imapclient.New(conn, nil), nil
}

// fetch reads one mail without marking it as seen. there is false if it was removed meanwhile.
func fetch(c *imapclient.Client, folder string, uid imap.UID) (m Mail, there bool, err error) {
	m = Mail{Name: fmt.Sprintf("%s#%d", folder, uid)}
	set := imap.UIDSetNum(uid)
	sizes, err := c.Fetch(set, &imap.FetchOptions{UID: true, RFC822Size: true}).Collect()
	if err != nil || len(sizes) == 0 {
		return m, false, err
	}
	if m.Size = sizes[0].RFC822Size; m.Size > maxMail {
		return m, true, nil
	}
	whole := &imap.FetchItemBodySection{Peek: true}
	got, err := c.Fetch(set, &imap.FetchOptions{UID: true, BodySection: []*imap.FetchItemBodySection{whole}}).Collect()
	if err != nil || len(got) == 0 {
		return m, false, err
	}
	m.Octets = got[0].FindBodySection(whole)
	return m, true, nil
}
