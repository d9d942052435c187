package report

import "time"

// Limits bound what one input can cost. A zero field means its default.
type Limits struct {
	Packed     int64         // octets of a zip archive, read as a whole: 32 MiB
	Unpacked   int64         // octets of one document: 64 MiB
	PerRecord  int64         // octets by which each record that counts raises Unpacked and Total: 1 KiB; negative: none
	Total      int64         // octets of all documents of an input: 256 MiB
	Wrappings  int           // gzip, zlib and zip around each other: 3
	Files      int           // files read of a zip: 16
	Parts      int           // leaf parts read of a mail: 100
	MailDepth  int           // mails and multiparts in each other: 5
	Depth      int           // elements or values in each other: 32
	Rows       int           // records of a report: 1,000,000
	Signatures int           // DKIM signatures of a record: 100
	Reasons    int           // override reasons of a record: 20
	Time       time.Duration // 60 s, and again after each 100,000 records that count
}

func (l Limits) withDefaults() Limits {
	def := func(n *int, d int) {
		if *n == 0 {
			*n = d
		}
	}
	def64 := func(n *int64, d int64) {
		if *n == 0 {
			*n = d
		}
	}
	def64(&l.Packed, 32<<20)
	def64(&l.Unpacked, 64<<20)
	def64(&l.PerRecord, 1<<10)
	def64(&l.Total, 256<<20)
	def(&l.Wrappings, 3)
	def(&l.Files, 16)
	def(&l.Parts, 100)
	def(&l.MailDepth, 5)
	def(&l.Depth, 32)
	def(&l.Rows, 1_000_000)
	def(&l.Signatures, 100)
	def(&l.Reasons, 20)
	if l.Time == 0 {
		l.Time = time.Minute
	}
	return l
}
