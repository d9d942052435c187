package faults

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"postseal/store"
	"postseal/store/engines"
	"postseal/store/journal"
	"postseal/store/storetest/pgtest"
)

// TestShipperKilled: a daemon is killed with SIGKILL at each step of a verdict from the queue to the database,
// on both engines: before and after it is in the journal, before and in the transaction, between the position
// and the rows, before and after COMMIT, and after the journal was released. What was in the journal is
// stored once, and what was not is noted as lost.
func TestShipperKilled(t *testing.T) {
	longOnly(t)
	t.Parallel() // it mostly waits
	path, err := failing()
	if err != nil {
		t.Fatal(err)
	}
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		shipperKilled(t, path, store.SQLitePrefix+filepath.Join(t.TempDir(), "store.db"))
	})
	t.Run("postgres", func(t *testing.T) {
		pg := pgtest.Begin(t)
		shipperKilled(t, path, pg.Database(t, pg.Addr))
	})
}

// shipSteps are the failpoints from the queue to the database, in their order.
var shipSteps = []string{"journal", "journaled", "ship", "position", "rows", "commit", "committed", "released"}

func shipperKilled(t *testing.T, path, address string) {
	folder := filepath.Join(t.TempDir(), "journal")
	d := prepare(t)
	d.path = path
	d.configure(fmt.Sprintf("[store]\nurl = '%s'\njournal_dir = '%s'\n", address, folder))
	s, kept := &sent{refs: map[string]bool{}}, map[string]bool{}
	kills, n := 0, 0
	for round := range min(*times, 3) {
		for _, step := range shipSteps {
			d.env = []string{"STATE_DIRECTORY=" + filepath.Dir(folder), fmt.Sprintf("POSTSEAL_FAILPOINT=%s:%d", step, 2+round)}
			d.run()
			for i := 0; running(d); i++ {
				if s.post(d, fmt.Sprintf("%s-%d-%d", step, round, n)); i > 20000 {
					t.Fatalf("%s is not reached", step)
				}
				n++
				time.Sleep(2 * time.Millisecond)
			}
			if status, ok := d.cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
				t.Fatalf("%s: the daemon ended with %v", step, d.err)
			}
			kills++
			inJournal(t, folder, kept)
		}
	}
	d.env = d.env[:1]
	d.run()
	s.post(d, "last")
	d.stop()
	inJournal(t, folder, kept)
	db, err := engines.Open(t.Context(), address, engines.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	found := stored(t, db)
	for ref := range kept {
		if found[ref] != 1 {
			t.Errorf("%s was in the journal, and is stored %d times", ref, found[ref])
		}
	}
	lost := 0
	for ref := range s.refs {
		if !kept[ref] {
			lost++
		}
	}
	if len(found) != len(kept) || lost > 10*kills {
		t.Errorf("%d verdicts are stored, %d were in the journal, %d of %d were not", len(found), len(kept), lost, len(s.refs))
	}
	losses, err := db.Losses(t.Context())
	if err != nil || len(losses) == 0 {
		t.Errorf("the kills are not noted: %+v, %v", losses, err)
	}
	for _, l := range losses {
		if l.Reason != store.LossCrash || l.N != -1 {
			t.Errorf("lost: %+v", l)
		}
	}
	if s.deferred > 0 {
		t.Errorf("%d messages were not accepted", s.deferred)
	}
	t.Logf("%d kills, %d messages answered, %d stored, each once, %d not in the journal yet when the daemon was killed", kills, len(s.refs), len(found), lost)
}

func running(d *daemon) bool {
	select {
	case <-d.ended:
		return false
	default:
		return true
	}
}

// inJournal adds the references of the verdicts in a journal whose process has ended. It reads a copy,
// since opening a journal begins another segment.
func inJournal(t *testing.T, folder string, refs map[string]bool) {
	t.Helper()
	files := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(files, os.DirFS(folder)); err != nil {
		t.Fatal(err)
	}
	j, _, err := journal.Open(files, journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(files)
	defer j.Close()
	for at := (journal.Position{}); ; {
		b, err := j.Read(at, 1000)
		if err != nil || b.Damaged > 0 || b.Gone {
			t.Fatalf("the journal: %+v, %v", b, err)
		}
		for _, r := range b.Records {
			var row store.Row
			if r.Kind == 'r' && json.Unmarshal(r.Data, &row) == nil {
				refs[row.Ref] = true
			}
		}
		if len(b.Records) == 0 {
			return
		}
		at = b.End
	}
}
