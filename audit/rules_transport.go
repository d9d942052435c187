package audit

// transportRules are about the way that mail takes: MTA-STS, TLS-RPT and DANE.
var transportRules = []Rule{}
