"""A name server on loopback, for programs that ask those of /etc/resolv.conf: they run in a mount
and network namespace of their own (unshare -m -n). It answers from the zone of the case at hand.
"""

import fcntl
import os
import socket
import struct
import subprocess
import sys
import tempfile
import threading

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

import zone as stub

current = {'rr': {}, 'exists': {}, 'fault': {}}


def use(zone):
    """Answers from zone from now on."""
    global current
    current = zone


def bring_up_loopback():
    request = struct.pack('16sh14s', b'lo', 1, b'')  # IFF_UP
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        fcntl.ioctl(s, 0x8914, request)  # SIOCSIFFLAGS


def answer(wire):
    query = dns.message.from_wire(wire)
    reply = dns.message.make_response(query)
    reply.flags |= dns.flags.RA
    question = query.question[0]
    name = question.name.to_text().rstrip('.')
    try:
        records = stub.lookup(current, name, dns.rdatatype.to_text(question.rdtype))
    except stub.Failure:
        reply.set_rcode(dns.rcode.SERVFAIL)
        return reply
    if not records:
        if not current['exists'].get(name.lower()):
            reply.set_rcode(dns.rcode.NXDOMAIN)
        return reply
    if question.rdtype == dns.rdatatype.TXT:
        for record in records:
            octets = record.encode('latin-1')
            strings = [octets[i:i + 255] for i in range(0, len(octets), 255)] or [b'']
            text = ' '.join('"' + ''.join('\\%03d' % c for c in s) + '"' for s in strings)
            reply.answer.append(dns.rrset.from_text(question.name, 60, 'IN', 'TXT', text))
    else:
        kind = dns.rdatatype.to_text(question.rdtype)
        reply.answer.append(dns.rrset.from_text_list(question.name, 60, 'IN', kind, records))
    return reply


def serve_udp(s):
    while True:
        wire, client = s.recvfrom(65535)
        try:
            reply = answer(wire)
            out = reply.to_wire()
            if len(out) > 1200:
                reply.answer = []
                reply.flags |= dns.flags.TC
                out = reply.to_wire()
            s.sendto(out, client)
        except Exception as failure:
            print(failure, file=sys.stderr)


def serve_tcp(s):
    while True:
        connection, _ = s.accept()
        with connection:
            try:
                size = struct.unpack('!H', connection.recv(2, socket.MSG_WAITALL))[0]
                out = answer(connection.recv(size, socket.MSG_WAITALL)).to_wire()
                connection.sendall(struct.pack('!H', len(out)) + out)
            except Exception as failure:
                print(failure, file=sys.stderr)


def start():
    bring_up_loopback()
    with tempfile.NamedTemporaryFile('w', delete=False) as f:
        f.write('nameserver 127.0.0.1\noptions timeout:2 attempts:1\n')
    os.chmod(f.name, 0o644)
    subprocess.run(['mount', '--bind', f.name, '/etc/resolv.conf'], check=True)
    os.unlink(f.name)
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(('127.0.0.1', 53))
    tcp = socket.create_server(('127.0.0.1', 53))
    threading.Thread(target=serve_udp, args=(udp,), daemon=True).start()
    threading.Thread(target=serve_tcp, args=(tcp,), daemon=True).start()
