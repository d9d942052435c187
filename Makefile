# What people type; .ci/run does all of it.
.PHONY: build test e2e fuzz bench load

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

bench:
	go test ./... -run '^$$' -bench .

# CPU and memory of the milter and policy doors, beside servers that only speak the protocol.
load:
	go run ./bench/load
	go run ./bench/load -idle 9000
