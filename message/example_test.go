package message_test

import (
	"fmt"
	"io"
	"strings"

	"postseal/message"
)

// printer takes a message in pieces.
type printer struct{ body int }

func (p *printer) Field(f message.Field) error {
	fmt.Printf("%s %q\n", f.Name(), f.Value())
	return nil
}

func (p *printer) EndHeader() error {
	fmt.Println("end of the header section")
	return nil
}

func (p *printer) Write(b []byte) (int, error) {
	p.body += len(b)
	return len(b), nil
}

// Stream splits a message into header fields, octet by octet as they stand, and its body.
func ExampleStream() {
	text := "Subject: hello,\r\n world\r\nTo: b@example.net\r\n\r\nhi\r\n"
	p := new(printer)
	if err := message.Stream(p, strings.NewReader(text), message.Limits{}); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(p.body, "octets of body")
	// Output:
	// Subject " hello,\r\n world"
	// To " b@example.net"
	// end of the header section
	// 4 octets of body
}

// The Author Domains are the input of DMARC. A message that names no author, or several ways
// to read it, has none.
func ExampleFindAuthor() {
	for _, from := range []string{"From: Dana Doe <dana@acme.test>", "From: a@one.test, b@two.test", "From: dana", "Sender: dana@acme.test"} {
		f, _ := message.ParseField([]byte(from))
		h := new(message.Header)
		h.Add(f)
		a := message.FindAuthor(h)
		fmt.Printf("%v %q\n", a.Domains, a.Reason)
	}
	// Output:
	// [acme.test] ""
	// [one.test two.test] ""
	// [] "message.NoDomain"
	// [] "message.NoFrom"
}

// Files often have LF as line ending; signatures are made over CRLF.
func ExampleNewCRLFReader() {
	text, err := io.ReadAll(message.NewCRLFReader(strings.NewReader("Subject: hi\n\nhello\n")))
	fmt.Printf("%q %v\n", text, err)
	// Output: "Subject: hi\r\n\r\nhello\r\n" <nil>
}
