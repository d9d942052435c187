package outbox

import kill "postseal/internal/app/failpoint"

// failpoint is where a test may end the process: between each two steps whose order matters.
// It does nothing elsewhere.
var failpoint = func(name string) { kill.Reach("report " + name) }

// SetFailpoint makes f be called at each failpoint, for tests that kill the process there.
func SetFailpoint(f func(name string)) { failpoint = f }
