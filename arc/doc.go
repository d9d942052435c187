// Package arc validates Authenticated Received Chains (RFC 8617); it never seals.
//
// A passing chain says who handled the message in which order, not that they are honest:
// anyone can build one. It means something only where the newest sealer is trusted.
package arc
