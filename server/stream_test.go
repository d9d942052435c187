package server

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"postseal/internal/app/conf"
	"postseal/server/listener"
	"postseal/server/web"
	"postseal/server/web/ui"
	"postseal/store"
	"postseal/store/storetest"
)

func streamRow(i int) store.Row {
	r := store.Row{Millis: int64(i), Ref: store.RefText(int64(i)), Door: "milter", Action: "accept", Applied: "accept", Author: "bulk.test", MFrom: "bulk.test", IP: netip.MustParseAddr("203.0.113.7"),
		SPF: "pass", DKIM: "pass:bulk.test/s", DMARC: "pass", Aligned: "both"}
	if i%10 == 0 {
		r.Action, r.Applied, r.Author, r.DMARC, r.Reason = "reject", "reject", fmt.Sprintf("bank%d.test", i), "fail", "dmarc.reject"
	}
	return r
}

// TestStreamFrames: each viewer gets every frame once and in order; one that is too slow loses
// frames and is told; one that comes back continues after what it saw, or is told what is gone.
func TestStreamFrames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStreams(time.Now)
		defer s.close()
		all := &store.Query{}
		fast, _, _, err := s.follow("", all, true, position{})
		if err != nil {
			t.Fatal(err)
		}
		slow, _, _, _ := s.follow("", all, true, position{})
		var got []ui.StreamFrame
		for i := range 50 {
			for k := range 5 {
				r := streamRow(i*5 + k)
				s.show(&r)
			}
			time.Sleep(framePause)
			synctest.Wait()
			var f ui.StreamFrame
			if err := json.Unmarshal((<-fast.frames).data, &f); err != nil {
				t.Fatal(err)
			}
			got = append(got, f)
		}
		verdicts := 0
		for i, f := range got {
			if f.Seq != got[0].Seq+int64(i) {
				t.Errorf("frame %d has seq %d", i, f.Seq)
			}
			verdicts += f.Counts["accept"] + f.Counts["reject"]
		}
		if verdicts != 250 || len(slow.frames) != waitFrames || slow.missed.Load() != int64(50-waitFrames) {
			t.Errorf("%d verdicts, the slow viewer has %d frames and missed %d", verdicts, len(slow.frames), slow.missed.Load())
		}
		if f := got[0]; len(f.Rows) != 1 || f.Rows[0].Marks["dmarc"].Tone != "bad" || len(f.Runs) != 1 || f.Runs[0].N != 4 {
			t.Errorf("%+v", f)
		}
		if _, old, gap, _ := s.follow("", all, true, position{frame: got[46].Seq}); len(old) != 3 || gap != nil || old[0].seq != got[47].Seq {
			t.Errorf("resumed after the 47th: %d frames, gap %v", len(old), gap)
		}
		if _, old, gap, _ := s.follow("", all, true, position{frame: 4711}); len(old) != 0 || gap == nil || gap.Missed != 0 {
			t.Errorf("resumed after what is not there: %d frames, gap %v", len(old), gap)
		}
		s.views[""].ring = s.views[""].ring[10:] // the oldest frames are gone
		if _, old, gap, _ := s.follow("", all, true, position{frame: got[3].Seq}); len(old) != 40 || gap == nil || gap.Missed != 6 || gap.Of != "frames" {
			t.Errorf("resumed after frames that are gone: %d frames, gap %v", len(old), gap)
		}
	})
}

// TestStreamBounds: views are bounded, and one without viewers makes room.
func TestStreamBounds(t *testing.T) {
	s := newStreams(time.Now)
	defer s.close()
	var first *watcher
	for i := range maxViews {
		w, _, _, err := s.follow(fmt.Sprint(i), &store.Query{}, true, position{})
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			first = w
		}
	}
	if _, _, _, err := s.follow("one more", &store.Query{}, true, position{}); err == nil {
		t.Error("a view too many")
	}
	s.leave("0", first)
	if _, _, _, err := s.follow("one more", &store.Query{}, true, position{}); err != nil {
		t.Error(err)
	}
}

// follow opens a stream of the daemon, which ends with the test.
func (d *daemonUnderTest) follow(path string) *http.Response {
	d.t.Helper()
	token, err := listener.ReadToken(conf.ConsoleToken())
	if err != nil {
		d.t.Fatal(err)
	}
	q, err := http.NewRequestWithContext(d.t.Context(), "GET", fmt.Sprintf("http://%s%s", d.Addr(listener.HTTP), path), nil)
	if err != nil {
		d.t.Fatal(err)
	}
	q.Header.Set("Authorization", "Bearer "+token)
	r, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(q)
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { r.Body.Close() })
	if r.StatusCode != http.StatusOK {
		d.t.Fatalf("%s: %d", path, r.StatusCode)
	}
	return r
}

// TestStreamsEnd: clients that follow do not delay the end of the daemon.
func TestStreamsEnd(t *testing.T) {
	d := run(t, listeners)
	live, tail := d.follow("/v1/live"), d.follow("/v1/tail")
	began := time.Now()
	d.end()
	if took := time.Since(began); took > 15*time.Second { // [limits] shutdown is 30 s
		t.Errorf("the daemon ended after %v", took)
	}
	for _, r := range []*http.Response{live, tail} {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			t.Errorf("a stream was cut off: %v", err)
		}
	}
}

// TestStreamRestart: a viewer of an earlier daemon gets a gap, and then frames with higher numbers
// than those that it saw.
func TestStreamRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		last := int64(0)
		for run := range 3 {
			s := newStreams(time.Now)
			w, old, gap, err := s.follow("", &store.Query{}, true, position{frame: last})
			if err != nil || len(old) != 0 || (gap != nil) != (run > 0) {
				t.Fatalf("run %d: %d frames, gap %v, %v", run, len(old), gap, err)
			}
			for i := range 5 - run {
				r := streamRow(i)
				s.show(&r)
				time.Sleep(framePause)
				f := <-w.frames
				if f.seq <= last {
					t.Errorf("run %d: frame %d after %d", run, f.seq, last)
				}
				last = f.seq
			}
			s.close()
		}
	})
}

// TestStream: a verdict of the daemon comes to the page Live as an event, with the fields of the
// API; hostile text stays within its event.
func TestStream(t *testing.T) {
	d := run(t, listeners)
	r := d.follow("/v1/live?show=all")
	if got := r.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Fatal(got)
	}
	lines := bufio.NewScanner(r.Body)
	lines.Scan() // retry: it follows
	d.post("ip=192.0.2.1&helo="+"x%0Adata:%20evil"+"&from=b@reject.test", "From: a@reject.test\n\nx\n")
	var f ui.StreamFrame
	for lines.Scan() {
		if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			if err := json.Unmarshal([]byte(data), &f); err != nil {
				t.Fatalf("%v in %s", err, data)
			}
			break
		}
	}
	if len(f.Rows) != 1 || f.Rows[0].Author != "reject.test" || f.Rows[0].Applied != "reject" || f.Counts["reject"] != 1 {
		t.Errorf("%+v", f)
	}
	for path, want := range map[string]int{"/v1/live?show=some": 400, "/v1/live?q=authr:x": 400, "/v1/live?x=1": 400} {
		if status, body := d.get(path); status != want {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
}

// viewersOf has the address that the process of TestViewers reads from.
const viewersOf = "POSTSEAL_VIEWERS_OF"

const viewers = 100

// TestViewers is the viewers of TestStreamCost, in a process of their own.
func TestViewers(t *testing.T) {
	url := os.Getenv(viewersOf)
	if url == "" {
		t.Skip("SKIPPED: TestStreamCost starts it")
	}
	var all sync.WaitGroup
	for range viewers {
		r, err := http.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		all.Go(func() {
			defer r.Body.Close()
			io.Copy(io.Discard, r.Body) //nolint:errcheck // the server ends it
		})
	}
	fmt.Println("ready")
	all.Wait()
	http.DefaultClient.CloseIdleConnections()
}

// streamed is the share of a core, in percent, that the viewers take while verdicts are shown.
func streamed(t *testing.T, h *keeper, rate, seconds int) float64 {
	before, began := storetest.CPU(t), time.Now()
	tick := time.NewTicker(time.Second / time.Duration(rate))
	defer tick.Stop()
	for i := range rate * seconds {
		<-tick.C
		row := streamRow(i)
		h.live.show(row)
	}
	return 100 * float64(storetest.CPU(t)-before) / float64(time.Since(began))
}

// TestStreamCost: a hundred viewers of fifty verdicts a second cost at most 3 % of a core.
func TestStreamCost(t *testing.T) {
	if *latencyBlocks == 0 {
		t.Skip("SKIPPED: it measures; run it with -latency 1")
	}
	const rate, seconds = 50, 3
	h := &keeper{live: newLive(time.Now), now: time.Now}
	server := httptest.NewServer(web.Stream(nil, h.stream))
	defer server.Close()
	child := exec.Command(os.Args[0], "-test.run", "^TestViewers$")
	child.Env = append(os.Environ(), viewersOf+"="+server.URL)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		t.Fatalf("the viewers say %q, %v", line, err)
	}
	share := 100.0
	for range 3 { // the least counts: the machine may be busy
		share = min(share, streamed(t, h, rate, seconds))
	}
	h.live.close()
	rest, _ := io.ReadAll(out)
	if err := child.Wait(); err != nil {
		t.Errorf("%v\n%s", err, rest)
	}
	t.Logf("%.1f %% of a core for %d viewers and %d verdicts a second; the viewers took %v in their process", share, viewers, rate, child.ProcessState.UserTime()+child.ProcessState.SystemTime())
	if share > 3 {
		t.Errorf("%.1f %% of a core, at most 3", share)
	}
}

// TestStreamFromPage: a stream that begins where a page ended has each later verdict once, whether it
// was sent already, waits for its frame, or comes later; counts are those of the same verdicts. A page
// whose verdicts are no longer in memory gets a gap.
func TestStreamFromPage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStreams(time.Now)
		defer s.close()
		sent := 0
		send := func(n int) {
			for range n {
				sent++
				r := streamRow(sent * 10) // none repeats the one before
				s.show(&r)
			}
		}
		send(3) // no one follows
		other, _, _, _ := s.follow("", &store.Query{}, true, position{})
		pages := map[string]int64{}
		mark := func(name string) { pages[name] = s.newest.seq }
		mark("before the other's frames")
		send(2)
		time.Sleep(2 * framePause)
		send(1)
		mark("while a verdict waits for its frame")
		send(1)
		collect := func(name string) (w *watcher, f *ui.StreamFrame) {
			s.due(t.Context(), "", pages[name])
			w, old, gap, err := s.follow("", &store.Query{}, true, position{verdict: pages[name]})
			if err != nil || gap != nil || len(old) != 1 {
				t.Fatalf("%s: %d frames, gap %v, %v", name, len(old), gap, err)
			}
			f = &ui.StreamFrame{}
			if err := json.Unmarshal(old[0].data, f); err != nil {
				t.Fatal(err)
			}
			return w, f
		}
		early, f1 := collect("before the other's frames")
		late, f2 := collect("while a verdict waits for its frame")
		if f1.Counts["reject"] != 2 || len(f1.Rows) != 2 || // the others wait for their frame
			f2.Counts["reject"] != 1 || len(f2.Rows) != 1 || f2.Rows[0].Author != "bank70.test" {
			t.Errorf("first frames: %+v and %+v", f1, f2)
		}
		mark("at the end")
		if _, f := collect("at the end"); len(f.Rows) != 0 || len(f.Counts) != 0 {
			t.Errorf("a page that has all gets %+v", f)
		}
		send(1)
		time.Sleep(2 * framePause)
		if len(early.frames) != 2 || (<-early.frames).seq != f1.Seq+1 || (<-early.frames).seq != f2.Seq+1 || len(late.frames) != 1 || (<-late.frames).seq != f2.Seq+1 {
			t.Error("not the frames that are new")
		}
		if len(other.frames) != 3 {
			t.Errorf("the other has %d frames", len(other.frames))
		}
		send(newestRows + 1)
		if _, _, gap, _ := s.follow("", &store.Query{}, true, position{verdict: pages["at the end"]}); gap == nil || gap.Missed != 2 || gap.Of != "verdicts" {
			t.Errorf("%v, although two verdicts are gone", gap)
		}
		if _, _, gap, _ := s.follow("", &store.Query{}, true, position{verdict: s.newest.seq + 1}); gap == nil || gap.Missed != 0 {
			t.Error("no gap for a number of another daemon")
		}
	})
}
