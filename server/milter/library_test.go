package milter

import (
	"strings"
	"testing"

	"github.com/d--j/go-milter"
)

// TestLibraryClient: the client of go-milter, which is not ours, understands us.
func TestLibraryClient(t *testing.T) {
	s := start(t, "")
	client := milter.NewClient("tcp", s.addr)
	macros := milter.NewMacroBag()
	macros.Set(milter.MacroQueueId, "4cXk2")
	session, err := client.Session(macros)
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	must := func(a *milter.Action, err error) {
		t.Helper()
		if err != nil || a.Type != milter.ActionContinue {
			t.Fatalf("got %+v, %v, want continue", a, err)
		}
	}
	must(session.Conn("client.test", milter.FamilyInet, 25, "192.0.2.1"))
	must(session.Helo("client.test"))
	message := func(from, header string) ([]milter.ModifyAction, *milter.Action) {
		t.Helper()
		must(session.Mail(from, "SIZE=10"))
		must(session.Rcpt("to@here.test", ""))
		must(session.DataStart())
		for line := range strings.SplitSeq(header, "\n") {
			name, value, _ := strings.Cut(line, ":")
			must(session.HeaderField(name, value, nil))
		}
		must(session.HeaderEnd())
		changes, action, err := session.BodyReadFrom(strings.NewReader("hello\r\n"))
		if err != nil {
			t.Fatal(err)
		}
		return changes, action
	}
	changes, action := message("b@pass.test", "Authentication-Results: mx.test; dmarc=pass\nFrom: a@pass.test")
	if action.Type != milter.ActionAccept && action.Type != milter.ActionContinue || len(changes) != 3 {
		t.Fatalf("got %+v, %+v", action, changes)
	}
	if c := changes[0]; c.Type != milter.ActionChangeHeader || c.HeaderIndex != 1 || c.HeaderName != "Authentication-Results" || c.HeaderValue != "" {
		t.Errorf("removal: %+v", c)
	}
	if c := changes[2]; c.Type != milter.ActionInsertHeader || c.HeaderIndex != 0 || !strings.HasPrefix(c.HeaderValue, " mx.test;\n\t") || strings.Contains(c.HeaderValue, "\r") {
		t.Errorf("insertion: %+v", c)
	}
	if err := session.Abort(nil); err != nil {
		t.Fatal(err)
	}
	_, action = message("b@reject.test", "From: a@reject.test")
	if action.Type != milter.ActionRejectWithCode || action.SMTPCode != 550 || strings.Count(action.SMTPReply, "\n") < 2 {
		t.Errorf("got %+v, want a reply of three lines", action)
	}
}
