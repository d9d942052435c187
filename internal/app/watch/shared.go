package watch

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"time"

	"postseal/domain"
)

// Shared keeps the list of several hosts: fleet.DB. before is the entry that a caller has read; its writing methods report
// false if another host has changed the entry since.
type Shared interface {
	Watched(ctx context.Context) (map[string]string, error)
	PutWatched(ctx context.Context, domain, before, entry string) (bool, error)
	KeepWatched(ctx context.Context, domain, before, entry, kept string) (bool, error)
	KeptOfWatched(ctx context.Context, domain string) (string, error)
	RemoveWatched(ctx context.Context, domain string) error
}

// errChanged means that another host changed an entry at the same time.
var errChanged = errors.New("another host changes this domain at the same time: try again")

// The pace at which a list of several hosts is read again.
const (
	fresh       = time.Second
	afterError  = 10 * time.Second
	sharedPause = 10 * time.Second // until a domain is seen that another host has added
)

// Share makes the list that of several hosts. One of them audits a domain that is due: turn calls f if it is the turn of
// this host, and reports whether it was. Domains that only this host has watched are added to the list of all, once. It must
// be called before Run.
func (l *List) Share(shared Shared, turn func(ctx context.Context, f func()) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.shared, l.turn, l.own = shared, turn, maps.Clone(l.entries) // shown until the database answers
}

// refresh reads the list of several hosts again, unless that was done just now. While the database does not answer, what
// was read holds. The caller holds the lock.
func (l *List) refresh() {
	if l.shared == nil || l.now().Before(l.freshUntil) {
		return
	}
	l.freshUntil = l.now().Add(afterError)
	if l.bringAlong() != nil {
		return
	}
	texts, err := l.shared.Watched(context.Background())
	if err != nil {
		return
	}
	l.freshUntil = l.now().Add(fresh)
	l.entries = map[string]*Entry{}
	for name, text := range texts {
		e := &Entry{before: text}
		if json.Unmarshal([]byte(text), e) == nil && e.Domain == name {
			e.fix()
			l.entries[name] = e
		}
	}
}

// bringAlong adds the domains that this host watched before it shared the list. Their file is renamed then, so that
// they are not added again after someone removes them.
func (l *List) bringAlong() error {
	for name, e := range l.own {
		e.before = ""
		text, err := json.Marshal(e)
		if err != nil {
			return err
		}
		added, err := l.shared.PutWatched(context.Background(), name, "", string(text))
		if err != nil {
			return err
		}
		history, err := os.ReadFile(l.fileOf(name))
		if added && err == nil {
			if _, err := l.shared.KeepWatched(context.Background(), name, string(text), string(text), string(history)); err != nil {
				return err
			}
		}
		delete(l.own, name)
	}
	if l.own == nil {
		return nil
	}
	l.own = nil
	if err := os.Rename(l.file(), l.file()+".shared"); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// put writes an entry that was changed. The caller holds the lock.
func (l *List) put(e *Entry, k *kept) error {
	if l.shared == nil {
		return l.putFiles(e, k)
	}
	text, err := json.Marshal(e)
	if err != nil {
		return err
	}
	l.freshUntil = time.Time{} // so that an error leaves nothing that is not stored
	ok := false
	if k == nil {
		ok, err = l.shared.PutWatched(context.Background(), e.Domain, e.before, string(text))
	} else {
		var history []byte
		if history, err = json.Marshal(k); err == nil {
			ok, err = l.shared.KeepWatched(context.Background(), e.Domain, e.before, string(text), string(history))
		}
	}
	if err == nil && !ok {
		err = errChanged
	}
	if err == nil {
		e.before = string(text)
	}
	return err
}

// checkInTurn audits a domain if it is the turn of this host.
func (l *List) checkInTurn(ctx context.Context, name string) (mine bool, err error) {
	if l.turn == nil {
		return true, l.check(ctx, name)
	}
	mine = l.turn(ctx, func() {
		if err = l.check(ctx, name); errors.Is(err, errChanged) {
			err = nil // it is due again
		}
	})
	return mine, err
}

// current is the entry of a domain as it is now, nil if it was removed. The caller holds the lock.
func (l *List) current(name domain.Name) *Entry {
	l.freshUntil = time.Time{}
	l.refresh()
	return l.entries[string(name)]
}
