#!/usr/bin/python3
"""dkimpy: DKIM and ARC. One case a line on stdin, one answer a line on stdout."""

import json
import sys

import dkim

import zone as stub


def dns_lookup(case):
    def lookup(name, timeout=5):
        if isinstance(name, bytes):
            name = name.decode('latin-1')
        try:
            records = stub.lookup(case['zone'], name, 'TXT')
        except stub.Failure as failure:
            raise dkim.DnsTimeoutError(str(failure))
        return records[0].encode('latin-1') if records else None
    return lookup


def count(message):
    head = message.split(b'\r\n\r\n')[0]
    return sum(1 for line in head.split(b'\r\n') if line.lower().split(b':')[0].rstrip(b' \t') == b'dkim-signature')


def verify_dkim(case, message):
    results, details = [], []
    for index in range(count(message)):
        try:
            ok = dkim.DKIM(message).verify(idx=index, dnsfunc=dns_lookup(case))
            results.append('pass' if ok else 'fail')
            details.append('')
        except dkim.DnsTimeoutError as failure:
            results.append('temperror')
            details.append(repr(failure))
        except Exception as failure:
            results.append('fail')
            details.append(repr(failure))
    return results, details


def verify_arc(case, message):
    try:
        status, _, reason = dkim.ARC(message).verify(dnsfunc=dns_lookup(case))
        return [status.decode()], [reason]
    except Exception as failure:
        return ['fail'], [repr(failure)]


for line in sys.stdin:
    case = json.loads(line)
    verify = verify_arc if case['kind'] == 'arc' else verify_dkim
    results, details = verify(case, stub.message(case))
    print(json.dumps({'id': case['id'], 'results': results, 'details': [d[:200] for d in details]}), flush=True)
