#!/bin/sh
# The milters of Debian and ours, on the same mail, in a network of their own where the
# load generator is the name server. Needs root.
set -eu
cd "$(dirname "$0")/../.."
for program in opendkim opendmarc rspamd; do
	command -v "$program" >/dev/null 2>&1 && continue
	DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$program" >&2
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
go build -o "$work/load" ./lab/bench/load
echo 'nameserver 127.0.0.1' >"$work/resolv.conf"
unshare --net --mount sh -euc 'ip link set lo up; mount --bind "$0/resolv.conf" /etc/resolv.conf; "$0/load" -peers "$@"' "$work" "$@"
