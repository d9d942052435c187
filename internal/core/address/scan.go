package address

// Reading is what Scan came to.
type Reading struct {
	Err      *Error // why the value is not a list of mailboxes; nil if it is one
	TooMany  bool   // there are more than MaxMailboxes
	Brackets bool   // a display name has square brackets without quotation marks
	Count    int    // mailboxes that were found
}

// Scan is Parse without a list: it calls yield for each mailbox, without its display
// name.
func Scan(value []byte, yield func(Mailbox)) Reading {
	p := addressParser{in: value}
	_ = p.list(yield)
	return Reading{Err: p.err, TooMany: p.err != nil && p.err.Msg == tooManyMailboxes, Brackets: p.brackets, Count: p.count}
}

// ScanLenient reads a From field outside the grammar as the mail programs that show it do, and
// calls yield for each address-like token. It is false if the field cannot be read safely: no set
// of domains is then all that some program may show.
func ScanLenient(value []byte, yield func(Mailbox)) bool {
	if p := (addressParser{in: value}); !p.lexical() {
		return false
	}
	found, ok := (&lenient{in: value}).read()
	for _, a := range found {
		yield(Mailbox{Local: a.local, Domain: a.name})
	}
	return ok
}
