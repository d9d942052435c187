package server

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"postseal/server/web/ui"
)

// openedPage is a page Live with the stream that continues it.
type openedPage struct {
	refs   []string // that it shows
	counts int      // of today, of all actions
	stream *http.Response
}

var (
	pageFrom  = regexp.MustCompile(`data-from="(\d+)"`)
	pageRef   = regexp.MustCompile(`href="/v/(\w{8})\?`)
	pageCount = regexp.MustCompile(`data-n="(\d+)">[\d,]+</span> today`)
)

func (d *daemonUnderTest) openLive(pause time.Duration) openedPage {
	d.t.Helper()
	_, body := d.get("/live?show=all")
	from := pageFrom.FindStringSubmatch(body)
	if from == nil {
		d.t.Fatalf("the page does not say where it ended:\n%.3000s", body)
	}
	p := openedPage{}
	for _, m := range pageRef.FindAllStringSubmatch(body, -1) {
		p.refs = append(p.refs, m[1])
	}
	for _, m := range pageCount.FindAllStringSubmatch(body, -1) {
		n, err := strconv.Atoi(m[1])
		if err != nil {
			d.t.Fatal(err)
		}
		p.counts += n
	}
	time.Sleep(pause) // the browser reads the page
	p.stream = d.follow("/v1/live?show=all&from=" + from[1])
	return p
}

// read follows the stream until a verdict of last.test.
func (p *openedPage) read() error {
	lines := bufio.NewScanner(p.stream.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "event: gap") {
			return fmt.Errorf("a gap after %d verdicts", len(p.refs))
		}
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		var f ui.StreamFrame
		if err := json.Unmarshal([]byte(data), &f); err != nil {
			return err
		}
		for _, n := range f.Counts {
			p.counts += n
		}
		end := false
		for _, r := range f.Rows {
			p.refs = append(p.refs, r.Ref)
			end = end || r.Author == "last.test"
		}
		if end {
			return nil
		}
	}
	return fmt.Errorf("the stream ended: %v", lines.Err())
}

// TestLiveLosesNothing: pages that load while mail arrives, each with the stream that continues it, show
// every verdict once and count it once, whenever rows reach the database.
func TestLiveLosesNothing(t *testing.T) {
	d := run(t, listeners+"[store]\nurl = 'sqlite:"+t.TempDir()+"/store.db'\njournal_dir = '"+t.TempDir()+"'\n")
	const pages, mails = 10, 120
	today := time.Now().UTC().YearDay()
	var all []string
	send := func(author string) {
		all = append(all, d.post("ip=192.0.2.1&helo=x.test&from=b@"+author, fmt.Sprintf("From: b@%s\nMessage-ID: <%d@x.test>\n\nx\n", author, len(all)))["ref"].(string))
	}
	send("first.test")
	var sending sync.WaitGroup
	sending.Go(func() {
		for i := range mails {
			send(fmt.Sprintf("a%d.test", i))
			time.Sleep(5 * time.Millisecond)
		}
	})
	var opened []openedPage
	for i := range pages {
		opened = append(opened, d.openLive(time.Duration(i%4)*30*time.Millisecond))
	}
	sending.Wait()
	send("last.test")
	late := 0
	for i := range opened {
		p := &opened[i]
		shown := len(p.refs)
		if err := p.read(); err != nil {
			t.Fatalf("page %d: %v", i, err)
		}
		times := map[string]int{}
		for _, ref := range p.refs {
			times[ref]++
		}
		for k, ref := range all {
			if times[ref] != 1 {
				t.Errorf("page %d, %d at first: verdict %d is shown %d times", i, shown, k, times[ref])
			}
		}
		if p.counts != len(all) && time.Now().UTC().YearDay() == today {
			t.Errorf("page %d counts %d verdicts of %d", i, p.counts, len(all))
		}
		if shown < len(all) {
			late++
		}
	}
	if late == 0 {
		t.Error("no page loaded while mail arrived")
	}
}

// TestMinutes: GET /v1/minutes counts the verdicts of the last hour, also those that the history does not have yet.
func TestMinutes(t *testing.T) {
	d := run(t, listeners+"[store]\nurl = 'sqlite:"+t.TempDir()+"/store.db'\njournal_dir = '"+t.TempDir()+"'\n")
	const mails = 3
	for i := range mails {
		d.post("ip=192.0.2.1&helo=x.test&from=b@a.test", fmt.Sprintf("From: b@a.test\nMessage-ID: <%d@x.test>\n\nx\n", i))
	}
	status, body := d.get("/v1/minutes")
	var m struct {
		Schema  string
		Minutes [][]any
	}
	if err := json.Unmarshal([]byte(body), &m); err != nil || status != 200 || m.Schema != "postseal.minutes/1" {
		t.Fatalf("%d %v %s", status, err, body)
	}
	sum := 0.0
	for _, minute := range m.Minutes {
		for _, n := range minute[1:] {
			sum += n.(float64)
		}
	}
	if sum != mails {
		t.Errorf("%v verdicts, want %d: %s", sum, mails, body)
	}
	if status, _ := d.get("/v1/minutes?x=1"); status != 400 {
		t.Errorf("an unknown parameter: %d", status)
	}
}
