package message

import "postseal/domain"

// Domain is a domain name in A-labels and lower case, without a trailing dot. Author Domains
// are of this type, and packages dkim and dmarc take it: names are compared in one form alone.
type Domain = domain.Name

// ParseDomain brings a name to that form: U-labels become A-labels (RFC 8616 §2).
func ParseDomain(s string) (Domain, error) { return domain.Parse(s) }
