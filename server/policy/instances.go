package policy

import (
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"time"
)

// The bounds of instances.
const (
	instanceMaxAge     = 10 * time.Minute // the recipients of one message
	instanceMaxEntries = 10000
)

// instances remembers the answer for each message, which Postfix identifies by its instance
// attribute, so all recipients share one evaluation, and the message gets one prepended field.
type instances struct {
	now func() time.Time

	mu    sync.Mutex
	all   map[instanceKey]*instance
	order []*instance // oldest first
}

// instanceKey is the digest of the message's name and of what its answer depends on, which a client
// can make as long as a line.
type instanceKey [sha256.Size]byte

func keyOf(q *request) (key instanceKey) {
	h := sha256.New()
	for _, part := range [...]string{q.instance, q.client.String(), q.helo, q.sender} {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		h.Write([]byte(part))
	}
	h.Sum(key[:0])
	return key
}

type instance struct {
	key       instanceKey
	began     time.Time
	once      sync.Once
	answer    answer
	prepended bool // guarded by the mutex of instances
}

func newInstances() *instances {
	return &instances{now: time.Now, all: map[instanceKey]*instance{}}
}

// find returns the instance of q, or a new one if it has no name.
func (s *instances) find(q *request) *instance {
	now := s.now()
	i := &instance{key: keyOf(q), began: now}
	if q.instance == "" {
		return i
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.order) > 0 && (len(s.order) >= instanceMaxEntries || !s.order[0].holds(now)) {
		delete(s.all, s.order[0].key)
		s.order = s.order[1:]
	}
	if known, ok := s.all[i.key]; ok {
		return known
	}
	s.all[i.key] = i
	s.order = append(s.order, i)
	return i
}

// holds reports whether i should still be remembered. Its age is below 0 if the clock went back.
func (i *instance) holds(now time.Time) bool {
	age := now.Sub(i.began)
	return age < instanceMaxAge && age > -instanceMaxAge
}

// give returns the answer for the next recipient of the message.
func (s *instances) give(i *instance) answer {
	if i.answer.kind != prepend {
		return i.answer
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if i.prepended {
		return noObjection
	}
	i.prepended = true
	return i.answer
}
