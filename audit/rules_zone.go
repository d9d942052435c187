package audit

// zoneRules are about the zone itself, and BIMI.
var zoneRules = []Rule{}
