package writer_test

import (
	"context"
	"flag"
	"fmt"
	"testing"
	"time"

	"postseal/store"
	"postseal/store/storetest"
)

// outageRows is how many verdicts come while the database is away. Two hours of 50 verdicts a second are
// 360,000: make outage.
var outageRows = flag.Int("outage", 4_000, "verdicts of TestOutage")

// TestOutage: the verdicts of two hours without a database wait in the journal, over a restart in the middle,
// with the times of their messages. When the database is back, all of them are stored once, and the journal is
// empty again.
func TestOutage(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.down.Store(true)
	w := s.start()
	rows := storetest.Rows(1000, 1, 1)
	most := time.Duration(0)
	for i := range *outageRows {
		r := rows[i%len(rows)]
		r.QID = fmt.Sprintf("Q%d", i)
		r.Millis = store.Millis(storetest.Now.Add(-time.Duration(*outageRows-i) * 20 * time.Millisecond))
		began := time.Now()
		w.Add(r)
		most = max(most, time.Since(began))
		if i%1000 == 999 {
			time.Sleep(20 * time.Millisecond) // a queue of 4096 is drained faster than that
		}
		if i == *outageRows/2 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond) // the database does not come back
			if err := w.Close(ctx); err != nil {
				t.Error(err)
			}
			cancel()
			w = s.start()
		}
	}
	eventually(t, "the journal", func() bool { return w.Stats().Pending > int64(*outageRows)*300 })
	waiting := w.Stats().Pending
	s.down.Store(false)
	began := time.Now()
	for w.Stats().Pending > 0 {
		if time.Since(began) > 5*time.Minute {
			t.Fatalf("%d octets wait after five minutes", w.Stats().Pending)
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Logf("%d verdicts, %d MB in the journal; stored %v after the database came back; the longest Add took %v", *outageRows, waiting>>20, time.Since(began).Round(100*time.Millisecond), most)
	s.end(w)
	s.wantAll(*outageRows)
}
