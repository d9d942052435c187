package proxy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
)

// SpoolLimits limits the messages that wait for their verdict. Zero fields mean the defaults.
type SpoolLimits struct {
	Dir     string // for temporary files; default os.TempDir
	Memory  int    // octets of one message in memory, the rest goes to a file; default 256 KiB
	Message int64  // octets of one message; default 64 MiB
	Total   int64  // octets of all messages; default 1 GiB
}

// The defaults of SpoolLimits.
const (
	DefaultSpoolMemory  = 256 << 10
	DefaultSpoolMessage = 64 << 20
	DefaultSpoolTotal   = 1 << 30
)

func (l SpoolLimits) orDefault() SpoolLimits {
	if l.Memory <= 0 {
		l.Memory = DefaultSpoolMemory
	}
	if l.Message <= 0 {
		l.Message = DefaultSpoolMessage
	}
	if l.Total <= 0 {
		l.Total = DefaultSpoolTotal
	}
	return l
}

// The reasons why a spool rejects data.
var (
	errMessageTooLarge = errors.New("the message is too large")
	errSpoolFull       = errors.New("the spool is full")
	errShort           = errors.New("low memory")
)

// spool counts the messages of all sessions.
type spool struct{ used atomic.Int64 }

// begin reserves space for one message. close releases it.
func (s *spool) begin(limits SpoolLimits) *spooled { return &spooled{spool: s, limits: limits} }

// spooled is one message: first in memory, then in an unlinked file, so that nothing is left
// over whatever happens.
type spooled struct {
	spool  *spool
	limits SpoolLimits
	size   int64
	tail   []byte // the part that is not in the file
	file   *os.File
}

// Write implements io.Writer. Its errors are errMessageTooLarge, errSpoolFull and those
// of the file system.
func (m *spooled) Write(p []byte) (int, error) {
	n := int64(len(p))
	if m.size+n > m.limits.Message {
		return 0, errMessageTooLarge
	}
	if m.spool.used.Add(n) > m.limits.Total {
		m.spool.used.Add(-n)
		return 0, errSpoolFull
	}
	m.size += n
	m.tail = append(m.tail, p...)
	if len(m.tail) <= m.limits.Memory {
		return len(p), nil
	}
	if err := m.flush(); err != nil {
		return 0, fmt.Errorf("spool: %w", err)
	}
	return len(p), nil
}

func (m *spooled) flush() error {
	if m.file == nil {
		f, err := os.CreateTemp(m.limits.Dir, "postseal-*")
		if err != nil {
			return err
		}
		m.file = f
		if err := os.Remove(f.Name()); err != nil {
			return err
		}
	}
	_, err := m.file.Write(m.tail)
	m.tail = m.tail[:0]
	return err
}

// reader reads the message from its start.
func (m *spooled) reader() io.Reader {
	tail := bytes.NewReader(m.tail)
	if m.file == nil {
		return tail
	}
	return io.MultiReader(io.NewSectionReader(m.file, 0, m.size-int64(len(m.tail))), tail)
}

// close discards the message.
func (m *spooled) close() {
	m.spool.used.Add(-m.size)
	m.size, m.tail = 0, nil
	if m.file != nil {
		m.file.Close() // the file is unlinked: nothing is left of it
		m.file = nil
	}
}
