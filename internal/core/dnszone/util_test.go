package dnszone_test

import "net/netip"

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func sameAddr(a, b netip.Addr) bool { return a == b }
