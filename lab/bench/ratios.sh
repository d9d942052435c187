#!/bin/sh
# The rows whose ratios are recorded: those that are compared take turns, so that what else the
# machine does falls on both.
set -eu
cd "$(dirname "$0")/../.."
bench=$(mktemp) replay=$(mktemp)
trap 'rm -f "$bench" "$replay"' EXIT
go test -c -o "$bench" ./lab/bench
go test -c -o "$replay" ./internal/app/replay
for run in 1 2 3 4 5 6 7 8 9 10; do
	"$bench" -test.run '^$' -test.bench '(Floor|Engine)/(rsa|ed25519)/(relaxed|simple)/(10KB|100KB)/[12]sig' -test.benchtime 40x
done
for run in 1 2 3 4 5; do
	"$replay" -test.run '^$' -test.bench '(Engine|Replay)/(smtp|maildir)/10KB' -test.benchtime 20000x
done
