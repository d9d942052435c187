# What the preparations of a page use.
# installed puts postseal where its package does.
installed() {
	rm -rf /var/lib/postseal /etc/postseal
	adduser --system --group --no-create-home --home /var/lib/postseal postseal >/dev/null 2>&1
	install -d -o postseal -g postseal -m 0750 /var/lib/postseal
	install -d /etc/postseal /var/spool/postfix/postseal
	install "$POSTSEAL_BINARY" /usr/bin/postseal
	install -m 0644 deploy/postseal.toml /etc/postseal/postseal.toml
}

# configured writes a configuration and starts the daemon with the units' sockets, and Postfix.
configured() {
	installed
	printf 'authserv_id = "mx.example.net"\nenforce = "observe"\n%s\n' "${1-}" >/etc/postseal/postseal.toml
	systemctl enable --now postseal.socket postseal.service
	postfix start
	postseal setup postfix --apply >/dev/null
	postfix reload
}

# forge sends mail from a client on the internet in the name of bank.test; REF is its verdict.
forge() {
	swaks --server 198.51.100.9 --local-interface 203.0.113.7 --helo host-7.cheap.example --from "${1-security@bank.test}" \
		--h-From "${1-security@bank.test}" --to me@example.net >/tmp/swaks.log || { cat /tmp/swaks.log; return 1; }
	until grep -q 'door=milter' /var/log/postseal.log; do sleep 0.05; done
	REF=$(sed -n 's/.* ref=\([0-9A-Z]*\) door=milter.*/\1/p' /var/log/postseal.log | tail -1)
	echo "$REF" >/tmp/ref
}
