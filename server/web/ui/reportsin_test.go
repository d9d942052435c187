package ui

import (
	"bytes"
	"errors"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"postseal/server/listener"
	"postseal/store"
)

// upload sends files, by name and text, with the form of the page Reports.
func upload(t *testing.T, h http.Handler, files ...[2]string) (int, string) {
	t.Helper()
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	for _, f := range files {
		part, err := w.CreateFormFile("file", f[0])
		if err != nil {
			t.Fatal(err)
		}
		part.Write([]byte(f[1])) //nolint:errcheck // it cannot fail
	}
	w.Close()
	r := httptest.NewRequest("POST", "/reports/upload", &body)
	r.Header.Set("Content-Type", w.FormDataContentType())
	rw := httptest.NewRecorder()
	h.ServeHTTP(rw, r)
	return rw.Code, rw.Body.String()
}

// TestReportsUpload: each file is read, and the page says what became of it, what was odd, and why it was
// refused; hostile text stays text.
func TestReportsUpload(t *testing.T) {
	s := &source{db: reported(t)}
	h := as(handler(s), listener.AdminRole)
	for _, c := range []struct {
		name   string
		files  [][2]string
		status int
		want   []string
	}{
		{"one", [][2]string{{"a.xml", "<feedback>"}}, 200, []string{"1 report was read, about 12 messages.", `href="/reports/shop.example"`, "bigmail.test", "Odd: record 3: &lt;script&gt;"}},
		{"one of two", [][2]string{{"a.xml", "<feedback>"}, {hostile + ".zip", "PK"}}, 200, []string{"1 report was read", "&lt;script&gt;", "is not a report"}},
		{"none", [][2]string{{"a.txt", "hello"}}, 422, []string{"Nothing was read.", "a.txt is not a report"}},
		{"too large", [][2]string{{"a.xml", "<feedback>" + strings.Repeat("x", 1<<20)}}, 400, []string{"Nothing was read.", "The files are larger than [limits] http_message."}},
		{"no file", nil, 400, []string{"Choose a file: xml, gz, zip or eml"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, body := upload(t, h, c.files...)
			if status != c.status || strings.Contains(body, "<script>") {
				t.Errorf("%d, want %d\n%.4000s", status, c.status, body)
			}
			for _, w := range c.want {
				if !strings.Contains(body, w) {
					t.Errorf("%q is missing in\n%.6000s", w, body)
				}
			}
		})
	}
	var many [][2]string
	for range maxFiles + 1 {
		many = append(many, [2]string{"a.xml", "<feedback>"})
	}
	if status, body := upload(t, h, many...); status != 400 || !strings.Contains(body, "100 reports were read") || !strings.Contains(body, "More than 100 files") {
		t.Errorf("too many: %d\n%.3000s", status, body)
	}
	s.failure = errors.New("disk full")
	if status, body := upload(t, h, [2]string{"a.xml", "<feedback>"}); status != 422 || !strings.Contains(body, "Disk full") {
		t.Errorf("a failing store: %d\n%.3000s", status, body)
	}
	if status, body := post(t, h, "/reports/upload", url.Values{"file": {"x"}}); status != 400 || !strings.Contains(body, "Send the files with the form") {
		t.Errorf("not a multipart form: %d", status)
	}
	for role, want := range map[listener.Role]bool{listener.ReaderRole: false, listener.AdminRole: true} {
		if _, body := open(t, as(handler(s), role), "/reports/shop.example"); strings.Contains(body, "/reports/upload") != want {
			t.Errorf("%s: the form is shown: %v", role, !want)
		}
	}
}

// TestReportsChoice: an administrator says whether a source is the domain's own; the page asks, remembers
// and undoes it. Readers are not shown the buttons.
func TestReportsChoice(t *testing.T) {
	db := reported(t)
	h := as(handler(&source{db: db, zone: unlistedZone}), listener.AdminRole)
	const asked, undo = "Yes, ours", ">Undo</button>"
	_, body := open(t, h, "/reports/shop.example")
	if !strings.Contains(body, asked) || !strings.Contains(body, `value="198.51.100.0/24"`) || strings.Contains(body, undo) || !strings.Contains(body, `class="spark"`) {
		t.Fatalf("the page does not ask:\n%.8000s", body)
	}
	if !strings.Contains(body, "shop.example is ready for p=reject, unless 198.51.100.0/24 is yours.") {
		t.Error("the answer does not depend on it")
	}
	if _, body := open(t, as(handler(&source{db: db, zone: unlistedZone}), listener.ReaderRole), "/reports/shop.example"); strings.Contains(body, asked) || !strings.Contains(body, "An administrator can say") {
		t.Error("what a reader sees")
	}
	form := url.Values{"by": {"network"}, "source": {"198.51.100.0/24"}, "chosen": {"yes"}, "days": {"30"}, "show": {"mend"}}
	if status, to := post(t, h, "/reports/shop.example/source", form); status != 303 || to != "/reports/shop.example?days=30&show=mend" {
		t.Fatalf("%d to %s", status, to)
	}
	if _, body := open(t, h, "/reports/shop.example?show=mend"); !strings.Contains(body, undo) || !strings.Contains(body, "it sends for the domain") || strings.Contains(body, asked) {
		t.Errorf("what was said is not shown:\n%.8000s", body)
	}
	list, err := db.(store.Inbox).SourceChoices(t.Context())
	if err != nil || len(list) != 1 || !list[0].Ours || list[0].At != store.Millis(now) {
		t.Errorf("%+v %v", list, err)
	}
	form.Set("chosen", "")
	if status, _ := post(t, h, "/reports/shop.example/source", form); status != 303 {
		t.Error(status)
	}
	if _, body := open(t, h, "/reports/shop.example"); !strings.Contains(body, asked) {
		t.Error("it does not ask again")
	}
	for _, wrong := range []url.Values{{"by": {"ptr"}, "source": {"x"}, "chosen": {"yes"}}, {"by": {"dkim"}, "source": {"x"}, "chosen": {"maybe"}}, {}} {
		if status, body := post(t, h, "/reports/shop.example/source", wrong); status != 400 || !strings.Contains(body, "was not kept") {
			t.Errorf("%v: %d", wrong, status)
		}
	}
	if status, _ := post(t, as(handler(&source{why: "off"}), listener.AdminRole), "/reports/shop.example/source", form); status != 400 {
		t.Errorf("without a history: %d", status)
	}
}

// TestSpark: a chart of any numbers stays within its box.
func TestSpark(t *testing.T) {
	for want, numbers := range map[string][]int64{
		"M0 100V100Z":                            nil,
		"M0 100V100H14.29V100Z":                  {0},
		"M0 100V50H14.29V0H28.57V100H42.86V100Z": {2, 4, 0},
	} {
		if got := spark(numbers); got != want {
			t.Errorf("%v: %s, want %s", numbers, got, want)
		}
	}
}
