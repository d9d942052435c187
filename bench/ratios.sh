#!/bin/sh
# The rows whose ratios are recorded: floor and engine take turns, so that what else the
# machine does falls on both.
set -eu
cd "$(dirname "$0")/.."
bench=$(mktemp)
trap 'rm -f "$bench"' EXIT
go test -c -o "$bench" ./bench
for run in 1 2 3 4 5 6 7 8 9 10; do
	"$bench" -test.run '^$' -test.bench '(Floor|Engine)/(rsa|ed25519)/(relaxed|simple)/(10KB|100KB)/[12]sig' -test.benchtime 40x
done
