package authres_test

import (
	"fmt"

	"postseal/authres"
	"postseal/message"
)

// Only a field of one's own server counts: whoever sends a message can write others into it.
func ExampleParse() {
	f, err := authres.Parse([]byte("mx.example.net; spf=pass smtp.mailfrom=acme.test; dkim=fail (body changed) header.d=acme.test"))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(f.AuthservID)
	for _, r := range f.Results {
		fmt.Println(r.Method, r.Value, r.Comment, r.Properties)
	}
	// Output:
	// mx.example.net
	// spf pass  [{smtp mailfrom acme.test}]
	// dkim fail body changed [{header d acme.test}]
}

// What is not safe in a field is quoted or left out.
func ExampleField_Value() {
	f := authres.Field{AuthservID: "mx.example.net", Results: []authres.Result{
		{Method: "spf", Value: "pass", Properties: []authres.Property{{Type: "smtp", Name: "mailfrom", Value: "dana@acme.test"}}},
		{Method: "dmarc", Value: "pass", Comment: "p=reject", Properties: []authres.Property{{Type: "header", Name: "from", Value: "acme.test"}}},
	}}
	fmt.Printf("%q\n", f.Value())
	// Output:
	// " mx.example.net;\r\n\tspf=pass smtp.mailfrom=dana@acme.test;\r\n\tdmarc=pass (p=reject) header.from=acme.test"
}

// A receiver removes the fields that claim to be its own before it adds its results (RFC 8601 §5).
func ExampleForged() {
	for _, line := range []string{"Authentication-Results: mx.example.net; dmarc=pass", "Authentication-Results: relay.acme.test; dmarc=pass"} {
		f, _ := message.ParseField([]byte(line))
		fmt.Println(authres.Forged(f, []string{"mx.example.net"}))
	}
	// Output:
	// true
	// false
}
