# What people type; .ci/run does all of it.
.PHONY: outage bench-day bench-shapes bench-reports report-kills report-days bench-audit attack attack-long build test e2e fleet fuzz bench bench-peers load ratios faults soak bench-worst packages install pictures guesses paint

build:
	go build ./cmd/postseal

# .deb, .rpm, tarball and OCI image below dist, with SBOM and checksums; the same commit gives
# the same octets. ARCH=arm64 makes them for another architecture.
ARCH ?= $(shell go env GOARCH)
DIST ?= dist
packages:
	go run -tags packages ./lab/packages -out $(DIST) -arch $(ARCH)

# What the packages hold, for other systems: make install PREFIX=/usr/local DESTDIR=/tmp/root
PREFIX ?= /usr/local
install:
	rm -rf $(DIST)/install
	go run -tags packages ./lab/packages -stage $(DIST)/install
	mkdir -p $(DESTDIR)$(PREFIX) $(DESTDIR)/etc/postseal $(DESTDIR)/etc/systemd/system
	cp -R $(DIST)/install/usr/bin $(DIST)/install/usr/share $(DESTDIR)$(PREFIX)/
	for unit in postseal.service postseal.socket postseal-policy.socket; do \
		sed 's|/usr/bin/postseal|$(PREFIX)/bin/postseal|' $(DIST)/install/usr/lib/systemd/system/$$unit >$(DESTDIR)/etc/systemd/system/$$unit; done
	test -e $(DESTDIR)/etc/postseal/postseal.toml || cp $(DIST)/install/etc/postseal/postseal.toml $(DESTDIR)/etc/postseal/
	rm -rf $(DIST)/install

test:
	go test ./...

# CPU time to read reports, next to other readers, to store 100,000 messages of one day, and to send
# the reports about them.
bench-reports:
	go run ./lab/bench/reports
	go test ./internal/app/outbox -run '^$$' -bench Reports -benchtime 100000x -timeout 30m

# The sender of reports is killed at as many points as there are, ten times over, on SQLite and
# PostgreSQL; go test alone tries a few.
report-kills:
	POSTSEAL_KILL_POINTS=100000 POSTSEAL_KILL_SEEDS=10 POSTSEAL_NEED_PG=1 go test ./internal/app/outbox -run TestKill -count=1 -timeout 60m -v

# The reports of 10,000 made-up days against the schema of RFC 9990 and our own reader.
report-days:
	POSTSEAL_REPORT_DAYS=10000 go test ./internal/app/outbox -run TestGeneratedDays -count=1 -timeout 30m -v

# Real Postfix and swaks on loopback; needs root and both programs.
e2e:
	go test -tags e2e -count=1 -timeout 20m -v ./lab/e2e

# Every target for FUZZTIME on a core of its own, a line each, FUZZWORKERS at a time. What
# was done stands in .fuzz-done and is passed over: FUZZFLAGS=-again runs it again. One
# target: make fuzz FUZZFLAGS='-again -only "internal/core/address FuzzParse"'
FUZZTIME ?= 10m
FUZZWORKERS ?= $(shell getconf _NPROCESSORS_ONLN)
fuzz:
	go run ./lab/bench/fuzz -time $(FUZZTIME) -workers $(FUZZWORKERS) -done .fuzz-done $(FUZZFLAGS)

# The DNS fails in every way, many times; with unbound where it is installed. The daemon as
# a process is killed and starved.
faults:
	go test . -run DNSFaults -count=20 -v
	go test ./lab/bench/faults -count=1 -v -timeout 60m -times 10
	go test ./resolver/... ./internal/core/middleware -run 'Breaker|Fault|Spoofed|Failures|NextServer' -count=20

# A hundred thousand guesses of the address of a refusal: one page, nothing looked up, times of one distribution.
guesses:
	go test ./server/web/refusal -run TestGuesses -count=1 -v -guesses 100000

# The first paint of Live on a slow phone, on a quiet host.
paint:
	work=$$(mktemp -d) && (cd "$$work" && npm install --silent --no-audit --no-fund playwright-core@1) && \
	POSTSEAL_NODE_MODULES=$$work/node_modules go test ./server/web/ui -run TestFirstPaint -count=1 -v -paint && rm -r "$$work"

# The pictures of docs/howto/console.md: Chromium, node, npm and ImageMagick draw them.
pictures:
	work=$$(mktemp -d) && (cd "$$work" && npm install --silent --no-audit --no-fund playwright-core@1 axe-core@4) && \
	POSTSEAL_NODE_MODULES=$$work/node_modules POSTSEAL_SCREENSHOTS=$$work go test ./server/web/ui -run TestBrowserChecks/full -count=1 && \
	convert "$$work/live-light.png" -crop 1280x560+0+0 +repage +dither -colors 48 PNG8:docs/howto/console-live.png && \
	convert "$$work/search-light.png" -crop 1280x500+0+0 +repage +dither -colors 48 PNG8:docs/howto/console-search.png && \
	convert "$$work/audit-light.png" -crop 1280x760+0+0 +repage +dither -colors 48 PNG8:docs/howto/console-audit.png && \
	convert "$$work/job-light.png" -crop 1280x560+0+0 +repage +dither -colors 48 PNG8:docs/howto/console-list.png && \
	convert "$$work/live-phone-dark.png" -crop 390x700+0+0 +repage +dither -colors 48 PNG8:docs/howto/console-phone.png; \
	status=$$?; rm -rf "$$work"; exit $$status

# Attacks on the daemon and its resolver, in short form and for minutes.
attack:
	go test . -count=1 -run 'SilentSenders|ContextsThatEnd|BoughtUnknown|AdversarialDNS|LargestLegalRecord|HeloAfterMailFrom|Outage|Starved' -silent 10s -adversaries 1000
	go test ./resolver ./internal/core/middleware -count=1 -run 'SlotsAreShared|LimitShares|InFlight|EndsQueued|Breaker|Accounts|Unanswered|CacheCut|CacheRestore|OldMessage|OneFormOfAName'
	go test ./internal/core/canonical ./dkim -count=1 -run 'IndexIsLinear|ManySimilar'
	go test . ./bundle -count=1 -run 'JunkSignatures|SealAge|Redact|HeloComesBack'
	go test ./internal/app/received ./internal/app/rules -count=1 -run 'FuzzStamp|TestParse|TestClient|TestCost'
	go test ./server ./server/milter ./server/proxy ./server/web -count=1 -run 'ListenersAgree|RefusedReload|Boot|ForgedBeyondLimit|TestModel|TestSmuggling|TestAccess|TestGuessing'
	go test ./audit ./internal/core/publicip -count=1 -run 'Registry|StaysPublic|TestPort'
	go test ./resolver/stub ./server/listener ./server/policy -count=1 -run 'TestStreams|SPFCache|TestShed|TestInstances|NoServers'
	go test ./lab/bench/faults -count=1 -v -run 'HostileDNS|ShedCostly|OutageRestart' -times 1 -sessions 150

attack-long:
	go test . -count=1 -v -race -timeout 30m -run 'SilentSenders|ContextsThatEnd' -long -silent 5m
	go test -race ./lab/bench/faults -run TestHangUp -count=1 -v -hangup 60s
	go test ./lab/bench/faults -count=1 -v -timeout 30m -run 'HostileDNS|ShedCostly' -times 1 -sessions 1000

# Two hours of 50 verdicts a second without a database, and what its latency is to the milter.
outage:
	go test ./store/writer -run TestOutage -count=1 -v -timeout 30m -outage 360000
	go test ./lab/bench/faults -run StoreLatency -count=1 -v -timeout 60m -times 1 -rounds 100

# Messages of odd shapes, compared with rspamd in the same run. Needs root, and installs rspamd.
bench-shapes:
	lab/bench/peers.sh -shapes

# Three daemons and one PostgreSQL, over a connection that is cut, slow and gone; an hour or more.
fleet: export POSTSEAL_NEED_PG = 1
fleet:
	go test ./lab/bench/faults -run 'Fleet|Shared|RollingUpgrade|NextVersions|HostsShown|HolderKilled|ShipperKilled' -count=1 -v -timeout 120m -times 5
	go test ./store/postgres ./store/writer ./internal/app/fleet -count=3 -timeout 60m

# Mixed load, faults and reloads; prints what is in use.
SOAK ?= 20m
soak:
	go test ./lab/bench/faults -run TestSoak -count=1 -v -timeout 60m -soak $(SOAK)

# A hundred thousand domains, some of whose servers fail, are slow or never answer: rate, CPU
# time and the most memory of the audit.
bench-audit:
	go test ./internal/app/cli -run '^$$' -bench AuditLong -benchtime 100000x -timeout 60m
	go test ./internal/app/cli -run '^$$' -bench AuditRatio -benchtime 3000x

# What the worst messages cost.
bench-worst:
	go test ./lab/bench -run '^$$' -bench Worst -benchtime 1x -timeout 30m

# The engine compared with the floor: what cryptography alone costs in the same run.
bench:
	for run in 1 2 3 4 5; do go test ./lab/bench -run '^$$' -bench 'Floor|Engine|Body|Header|Chunks' -benchtime 50x; done | go run ./lab/bench/ratios
	go test ./spf -run '^$$' -bench Warm
	go test ./lab/bench -run '^$$' -bench Cold -benchtime 20x
	for run in 1 2 3 4; do go test ./internal/app/replay -run '^$$' -bench . -benchtime 15000x; done | go run ./lab/bench/ratios
	go test ./store/journal -run '^$$' -bench Append
	go test ./store/writer -run '^$$' -bench Daemon -benchtime 50000x
	go test ./store/writer -run '^$$' -bench Wait -benchtime 5000x
	POSTSEAL_NEED_PG=1 POSTSEAL_BENCH_ROWS=1000000 go test ./store/sqlite ./store/postgres -p 1 -run '^$$' -bench Store -benchtime 100x -timeout 60m
	go run ./lab/bench/load

# A simulated day of ROWS verdicts in PostgreSQL: writing, reports, export, backup. docs/explain/scale.md calculates from it.
ROWS ?= 3000000
bench-day:
	POSTSEAL_NEED_PG=1 POSTSEAL_BENCH_ROWS=$(ROWS) go test ./store/postgres -run '^$$' -bench Day -benchtime 1x -timeout 60m

# Record the ratios that .ci/run compares with. On a quiet machine.
ratios:
	lab/bench/ratios.sh | go run ./lab/bench/ratios -record lab/bench/ratios.txt

# CPU and memory of the milter and the policy service, compared with servers that only speak the protocol.
load:
	go run ./lab/bench/load
	go run ./lab/bench/load -idle 9000

# The milters of Debian and ours, on the same mail. It installs them: needs root and apt.
bench-peers:
	lab/bench/peers.sh
