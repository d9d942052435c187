package cli

import (
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
)

// TestPolicyUnderSpawn: spawn(8) connects standard output and standard error to the same
// socket: nothing but answers may go there.
func TestPolicyUnderSpawn(t *testing.T) {
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "ours"), os.NewFile(uintptr(pair[1]), "theirs")
	defer ours.Close()
	const request = "request=smtpd_access_policy\nprotocol_state=RCPT\nclient_address=203.0.113.7\nsender=a@acme.test\n\n"
	code := Main([]string{"policy", "--zone", sampleZone}, strings.NewReader(request+"wrong\n"), theirs, theirs)
	theirs.Close()
	got, err := io.ReadAll(ours)
	if err != nil {
		t.Fatal(err)
	}
	if code != exitData || !strings.HasPrefix(string(got), "action=PREPEND Received-SPF: fail ") || strings.Count(string(got), "\n") != 2 {
		t.Errorf("exit code %d, answered %q", code, got)
	}
}
