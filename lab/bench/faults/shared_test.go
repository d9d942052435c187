package faults

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"postseal/store/storetest/pgtest"
)

// node is a daemon of a fleet with a state directory of its own.
type node struct {
	*daemon
	state string
}

// nodes starts daemons that share a database.
func nodes(t *testing.T, address string, n int, config string) (all []*node) {
	t.Helper()
	for range n {
		x := prepareNode(t, address, config)
		x.run()
		all = append(all, x)
	}
	return all
}

// prepareNode is nodes for one without a process.
func prepareNode(t *testing.T, address, config string) *node {
	t.Helper()
	x := &node{daemon: prepare(t), state: t.TempDir()}
	x.env = []string{"STATE_DIRECTORY=" + x.state}
	x.write(fmt.Sprintf(`authserv_id = 'mx.test'
reply_url = 'https://mx.test/r'
enforce = 'strict'
[listen]
http = '127.0.0.1:0'
public = '127.0.0.1:0'
smtp = '127.0.0.1:0'
[network]
trusted = []
[proxy]
next_hop = '%s'
peers = []
[dns]
servers = ['%s']
[store]
url = '%s'
[log]
format = 'json'
%s`, x.hop.addr, x.dns.Addr(), address, config))
	return x
}

func (n *node) token(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(n.state, "console.token"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

// ask makes a request to the console and returns its status, body and cookies.
func (n *node) ask(t *testing.T, method, path string, form url.Values, header ...string) (int, string, []*http.Cookie) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://"+n.addr("http")+path, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	c := &http.Client{Timeout: patience, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body), resp.Cookies()
}

// login logs in, and returns the header field of the session.
func (n *node) login(t *testing.T, form url.Values) string {
	t.Helper()
	status, body, cookies := n.ask(t, "POST", "/login/enter", form)
	if status != http.StatusSeeOther || len(cookies) != 1 {
		t.Fatalf("login: %d %s", status, body)
	}
	return cookies[0].Name + "=" + cookies[0].Value
}

// in reports whether a session is logged in.
func (n *node) in(t *testing.T, cookie string) bool {
	t.Helper()
	status, _, _ := n.ask(t, "GET", "/system", nil, "Cookie", cookie)
	return status == http.StatusOK
}

// on runs statements in the database.
func on(t *testing.T, address string, statements ...string) {
	t.Helper()
	c, err := pgx.Connect(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	for _, s := range statements {
		if _, err := c.Exec(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// count is the number that a query returns, -1 if it fails.
func count(t *testing.T, address, query string) (n int) {
	t.Helper()
	c, err := pgx.Connect(t.Context(), address)
	if err != nil {
		return -1
	}
	defer c.Close(context.Background())
	if c.QueryRow(t.Context(), query).Scan(&n) != nil {
		return -1
	}
	return n
}

// TestSharedLogins: a login at one daemon holds at the others, by token and by code; it ends
// everywhere; without the database it holds where it was used. So does the watch list.
func TestSharedLogins(t *testing.T) {
	longOnly(t)
	t.Parallel() // it mostly waits
	pg := pgtest.Begin(t)
	w := newWire(t, pg.Addr)
	direct := pg.Database(t, pg.Addr)
	all := nodes(t, strings.Replace(direct, pg.Addr, w.listener.Addr().String(), 1), 2, "")
	a, b := all[0], all[1]
	until(t, "two members", func() bool {
		return count(t, direct, "SELECT count(*) FROM postseal.member WHERE length(login) > 0") == 2
	})

	byToken := a.login(t, url.Values{"token": {a.token(t)}})
	if !a.in(t, byToken) || !b.in(t, byToken) {
		t.Error("a login does not hold on both")
	}
	if a.in(t, "postseal=AAAAAAAAAAAAAAAAAAAAAAAAAA") || b.in(t, "postseal=AAAAAAAAAAAAAAAAAAAAAAAAAA") {
		t.Error("an invented session holds")
	}
	_, answer, _ := a.ask(t, "POST", "/v1/login-codes", url.Values{}, "Authorization", "Bearer "+a.token(t))
	code := regexp.MustCompile(`code=([A-Z2-7]+)`).FindStringSubmatch(answer)
	if code == nil {
		t.Fatalf("no code: %s", answer)
	}
	byCode := b.login(t, url.Values{"code": {code[1]}})
	for _, n := range all {
		if status, _, _ := n.ask(t, "POST", "/login/enter", url.Values{"code": {code[1]}}); status == http.StatusSeeOther {
			t.Error("a code logs in twice")
		}
	}
	if !a.in(t, byCode) {
		t.Error("the login by code does not hold on the other")
	}
	b.ask(t, "POST", "/logout", url.Values{}, "Cookie", byCode)
	if a.in(t, byCode) || b.in(t, byCode) {
		t.Error("a logout does not end the login everywhere")
	}

	// The watch list is that of both; one of them audits.
	if status, body, _ := a.ask(t, "PUT", "/v1/watch/good.test", nil, "Authorization", "Bearer "+a.token(t)); status != http.StatusOK {
		t.Errorf("watch: %d %s", status, body)
	}
	list := func(n *node) string {
		_, body, _ := n.ask(t, "GET", "/v1/watch", nil, "Authorization", "Bearer "+n.token(t))
		return body
	}
	until(t, "the audit is shown on both", func() bool {
		return regexp.MustCompile(`"grade":"[A-F]"`).MatchString(list(b)) && list(a) == list(b)
	})
	if n := count(t, direct, "SELECT count(*) FROM postseal.lease WHERE name = 'watch'"); n != 1 {
		t.Errorf("%d hosts audit", n)
	}

	w.set("gone")
	if !strings.Contains(list(b), "good.test") {
		t.Error("the watch list is not shown without the database")
	}
	if !a.in(t, byToken) || !b.in(t, byToken) {
		t.Error("the login does not hold without the database")
	}
	alone := b.login(t, url.Values{"token": {b.token(t)}})
	if !b.in(t, alone) {
		t.Error("nobody can log in without the database")
	}
	if b.in(t, byCode) {
		t.Error("an ended login holds again without the database")
	}
	w.set("calm")
	if !b.in(t, alone) || a.in(t, alone) {
		t.Error("a login made without the database holds elsewhere, or no longer here")
	}

	// The token of a changes: its logins end on both.
	a.kill()
	if err := os.WriteFile(filepath.Join(a.state, "console.token"), []byte("another-token-of-the-console"), 0o600); err != nil {
		t.Fatal(err)
	}
	a.run()
	until(t, "the end of the old token", func() bool { return !a.in(t, byToken) && !b.in(t, byToken) })
	for _, n := range all {
		n.stop()
	}
}

// TestSharedLinks: the link of a refusal that one daemon made is answered by the others, those
// from before the hosts shared a database too, and after the key was replaced.
func TestSharedLinks(t *testing.T) {
	longOnly(t)
	t.Parallel() // it mostly waits
	pg := pgtest.Begin(t)
	direct := pg.Database(t, pg.Addr)
	all := nodes(t, direct, 3, "")
	a, b, c := all[0], all[1], all[2]
	one := func(n int) func() bool {
		return func() bool {
			return count(t, direct, fmt.Sprintf("SELECT (count(*) = %d AND count(*) FILTER (WHERE until_at = 0) = 1)::int FROM postseal.secret", n)) == 1
		}
	}
	until(t, "the keys of three hosts", one(3))
	keys := func() map[string]bool {
		found := map[string]bool{}
		for _, n := range all {
			text, err := os.ReadFile(filepath.Join(n.state, "refusal.key"))
			if err != nil {
				t.Fatal(err)
			}
			found[string(text)] = true
		}
		return found
	}
	until(t, "one key in the state directorys", func() bool { return len(keys()) == 1 })
	link := regexp.MustCompile(`https://mx\.test(/r/[0-9A-Z]{8}-[0-9A-Z]{6})`)
	refuse := func(n *node) string {
		r, err := http.Post("http://"+n.addr("http")+"/v1/verify?ip=192.0.2.9&helo=x.test&from=a@bad.test", "message/rfc822", strings.NewReader("From: a@bad.test\r\n\r\nx\r\n"))
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		body, _ := io.ReadAll(r.Body)
		found := link.FindSubmatch(body)
		if found == nil {
			t.Fatalf("no link: %s", body)
		}
		return string(found[1])
	}
	shown := func(n *node, path string) bool {
		r, err := http.Get("http://" + n.addr("public") + path)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		body, _ := io.ReadAll(r.Body)
		return r.StatusCode == http.StatusOK && strings.Contains(string(body), "bad.test")
	}
	rows := 0
	everywhere := func(what, path string) { // the page allows few requests a minute, so it is asked for once the verdict is stored
		t.Helper()
		rows++
		until(t, "a verdict", func() bool { return count(t, direct, "SELECT count(*) FROM postseal.verdict") == rows })
		for i, n := range all {
			if !shown(n, path) {
				t.Errorf("%s: host %d does not show it", what, i)
			}
		}
	}
	first := refuse(a)
	everywhere("a link", first)
	if wrong := first[:len(first)-1] + map[bool]string{true: "0", false: "1"}[first[len(first)-1] != '0']; shown(b, wrong) {
		t.Error("a wrong tag shows a page")
	}

	// The key is old: it is replaced, with an overlap on both sides.
	on(t, direct, "UPDATE postseal.secret SET from_at = from_at - 91 * 86400000::bigint WHERE until_at = 0")
	until(t, "a second key", one(4))
	if key := keys(); len(key) != 1 {
		t.Error("the new key is used before every host knows it")
	}
	old := keys() // before the new one can be in use: a host looks at any moment
	on(t, direct, "UPDATE postseal.secret SET from_at = from_at - 61000 WHERE until_at = 0")
	until(t, "the new key in the state directorys", func() bool {
		k := keys()
		for key := range k {
			if old[key] {
				return false
			}
		}
		return len(k) == 1
	})
	everywhere("a link with the new key", refuse(b))
	if !shown(c, first) {
		t.Error("a link with the old key does not hold")
	}

	// Without the database the last known key holds, across a restart.
	if err := pg.Crash(); err != nil {
		t.Fatal(err)
	}
	c.kill()
	c.run()
	third := refuse(c)
	if err := pg.Start(); err != nil {
		t.Fatal(err)
	}
	everywhere("a link of the outage", third)
	for _, n := range all {
		n.stop()
	}
}
