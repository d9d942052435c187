# What people type; .ci/run does all of it.
.PHONY: build test e2e fuzz bench bench-peers load ratios

build:
	go build ./cmd/postseal

test:
	go test ./...

# Real Postfix and swaks on loopback; needs root and both programs.
e2e:
	go test -tags e2e -count=1 -timeout 15m -v ./e2e

# One target: make fuzz PACKAGE=./message TARGET=FuzzParseMailboxes
fuzz:
	go test $(PACKAGE) -run '^$$' -fuzz '^$(TARGET)$$' -fuzztime 60s

# The engine beside the floor: what cryptography alone costs in the same run.
bench:
	for run in 1 2 3 4 5; do go test ./bench -run '^$$' -bench 'Floor|Engine|Body|Header|Chunks' -benchtime 50x; done | go run ./bench/ratios

# Record the ratios that .ci/run compares with. On a quiet machine.
ratios:
	bench/ratios.sh | go run ./bench/ratios -record bench/ratios.txt

# CPU and memory of the milter and policy doors, beside servers that only speak the protocol.
load:
	go run ./bench/load
	go run ./bench/load -idle 9000

# The milters of Debian beside ours, on the same mail. It installs them: needs root and apt.
bench-peers:
	bench/peers.sh
