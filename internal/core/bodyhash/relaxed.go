package bodyhash

import "encoding/binary"

// writeRelaxed passes runs that canonicalization leaves alone (RFC 6376 §3.4.4). Where these
// are short, octet goes by octet.
func (s *stream) writeRelaxed(p []byte) {
	for len(p) > 0 {
		if s.cr || p[0] == ' ' || p[0] == '\t' || p[0] == '\r' {
			p = p[s.held(p):]
			continue
		}
		n := relaxedRun(p)
		if n < shortRun {
			p = p[s.octets(p):]
			continue
		}
		s.begin()
		s.emit(p[:n])
		p = p[n:]
	}
}

// held takes white space and line endings up to the next content, and returns how many octets
// they are. No CR is held back then, unless it ends p.
func (s *stream) held(p []byte) int {
	for i := 0; i < len(p); {
		switch c := p[i]; {
		case c == '\n' && s.cr:
			s.lineEnd()
			i++
		case s.cr:
			s.begin()
		case c == ' ' || c == '\t':
			s.space = true
			i += whiteSpace(p[i:])
		case c == '\r':
			n := blankLines(p[i:])
			if n == 0 {
				s.cr = true
				i++
				continue
			}
			s.lineEnd()
			s.blank += int64(n) - 1
			i += 2 * n
		default:
			return i
		}
	}
	return len(p)
}

// blankLines counts the CRLFs that p begins with.
func blankLines(p []byte) int {
	const four = 0x0a0d0a0d0a0d0a0d
	n := 0
	for len(p) >= 2*n+8 && binary.LittleEndian.Uint64(p[2*n:]) == four {
		n += 4
	}
	for len(p) >= 2*n+2 && p[2*n] == '\r' && p[2*n+1] == '\n' {
		n++
	}
	return n
}

// shortRun is the length from which a run is worth a search for its end.
const shortRun = 32

// octets takes the first octets of p one by one until a run that is not short lies after it,
// and returns how many it took. It stops after content, with nothing held back.
func (s *stream) octets(p []byte) int {
	run := 0 // where the octets begin that came out as they went in
	for i := 0; i < len(p); i++ {
		c := p[i]
		switch {
		case c == ' ' || c == '\t':
			n := i + whiteSpace(p[i:])
			if s.space || c == '\t' || n > i+1 {
				run = n
			}
			if s.cr {
				s.begin()
			}
			s.space, i = true, n-1
		case c == '\n' && s.cr:
			s.lineEnd()
		case c == '\r':
			if s.space || s.cr {
				run = i
			}
			if s.cr {
				s.begin()
			}
			s.cr = true
		default:
			if s.blank > 0 || s.space || s.cr {
				s.begin()
			}
			s.emitOctet(c)
			if i-run >= shortRun {
				return i + 1
			}
		}
	}
	return len(p)
}

// whiteSpace is how many octets of white space p begins with.
func whiteSpace(p []byte) int {
	n := 0
	for n < len(p) && (p[n] == ' ' || p[n] == '\t') {
		n++
	}
	return n
}

// relaxedRun returns the length of a prefix of p, whose first octet is content, that is its own
// canonical form and ends in content: what may be dropped stays after it.
func relaxedRun(p []byte) int {
	n := scan(p)
	for n > 1 && (p[n-1] == ' ' || p[n-1] == '\r' || p[n-1] == '\n' && p[n-2] == '\r') {
		n--
	}
	return max(n, 1)
}
