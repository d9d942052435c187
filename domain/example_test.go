package domain_test

import (
	"fmt"

	"postseal/domain"
)

// Names are compared as A-labels in lower case (RFC 5890 §2.3.2.1).
func ExampleParse() {
	for _, s := range []string{"Mail.Acme.TEST.", "bücher.example", "a..b", "192.0.2.1"} {
		name, err := domain.Parse(s)
		fmt.Printf("%q %v\n", string(name), err)
	}
	// Output:
	// "mail.acme.test" <nil>
	// "xn--bcher-kva.example" <nil>
	// "" "a..b": label is empty or longer than 63 octets
	// "192.0.2.1" <nil>
}

// The public suffix list says where domains can be registered.
func ExampleName_Registrable() {
	for _, s := range []string{"mail.acme.co.uk", "acme.co.uk", "co.uk", "a.b.acme.example"} {
		fmt.Println(s, "->", domain.Name(s).Registrable())
	}
	// Output:
	// mail.acme.co.uk -> acme.co.uk
	// acme.co.uk -> acme.co.uk
	// co.uk -> co.uk
	// a.b.acme.example -> acme.example
}

func ExampleName_Within() {
	org := domain.Name("acme.test")
	fmt.Println(domain.Name("mail.acme.test").Within(org), org.Within(org), domain.Name("notacme.test").Within(org))
	// Output: true true false
}
