package inbox

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"postseal/store"
)

// TestSequences reads the sequences of the suite of independent reports into one store each. The
// suite lies next to the repository and is not part of it; TestSeenAlready has cases of our own.
func TestSequences(t *testing.T) {
	const dir = "../../../../shared/suites/reports"
	f, err := os.Open(filepath.Join(dir, "cases.jsonl"))
	if err != nil {
		t.Skipf("skipped: the independent reports are not here: %v", err)
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		var c struct {
			ID, Kind string
			Files    []string
			Want     struct{ Stored, Messages []int64 }
		}
		if err := json.Unmarshal(s.Bytes(), &c); err != nil || c.Kind != "sequence" {
			continue
		}
		t.Run(c.ID, func(t *testing.T) {
			db := open(t)
			for _, name := range c.Files {
				text, err := os.ReadFile(filepath.Join(dir, name))
				if err != nil {
					t.Fatal(err)
				}
				read(t, db, Carrier{}, string(text))
			}
			list, err := db.InboundReports(t.Context(), store.InboundFilter{})
			messages := int64(0)
			for _, r := range list {
				messages += r.Messages
			}
			i := slices.Index(c.Want.Stored, int64(len(list)))
			if err != nil || i < 0 || c.Want.Messages[i] != messages {
				t.Errorf("%d reports with %d messages, want %v with %v (%v)", len(list), messages, c.Want.Stored, c.Want.Messages, err)
			}
		})
	}
}
