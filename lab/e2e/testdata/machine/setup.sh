# Makes the host of a reader: mx.example.net, a Debian with Postfix that delivers mail for
# example.net, and a resolver at 127.0.0.1. Sourced before the preparations of each page.
set -eu
ip link set lo up
ip address add 198.51.100.9/32 dev lo # of this host
ip address add 203.0.113.7/32 dev lo  # of a client: host-7.cheap.example
hostname mx.example.net
printf 'nameserver 127.0.0.1\n' >/etc/resolv.conf
printf '127.0.0.1 localhost\n::1 localhost\n198.51.100.9 mx.example.net mx\n' >/etc/hosts
mkdir -p /run/lock /var/log /root
useradd --create-home me

# as postfix's own installation for an "Internet Site"
rm -rf /var/lib/postfix/*.lock /var/spool/postfix/pid/*
cp /usr/share/postfix/main.cf.debian /etc/postfix/main.cf
postconf -e 'myhostname = mx.example.net' 'mydestination = $myhostname, example.net, localhost' 'mynetworks = 127.0.0.0/8 [::1]/128' \
	'alias_maps =' 'alias_database =' 'recipient_delimiter = +' 'inet_protocols = ipv4' 'maillog_file = /var/log/mail.log' 'compatibility_level = 3.6' 'home_mailbox = Maildir/'
cp /usr/share/postfix/master.cf.dist /etc/postfix/master.cf
postconf -M 'postlog/unix-dgram=postlog unix-dgram n - n - 1 postlogd'

. lab/e2e/testdata/machine/functions.sh
