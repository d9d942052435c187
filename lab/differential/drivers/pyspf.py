#!/usr/bin/python3
"""pyspf. One case a line on stdin, one answer a line on stdout."""

import json
import sys

import spf

import zone as stub

current = None


def dns_lookup(name, qtype, tcpfallback=True, timeout=30):
    try:
        records = stub.lookup(current, name, qtype)
    except stub.Failure as failure:
        raise spf.TempError('DNS ' + str(failure))
    answer = []
    for record in records:
        if qtype == 'MX':
            preference, host = record.split(' ')
            record = (int(preference), host)
        elif qtype == 'TXT':
            octets = record.encode('latin-1')
            record = [octets[i:i + 255] for i in range(0, len(octets), 255)] or [b'']
        answer.append(((name, qtype), record))
    return answer


spf.DNSLookup = dns_lookup

for line in sys.stdin:
    case = json.loads(line)
    current = case['zone']
    query = spf.query(i=case['ip'], s=case['sender'], h=case['helo'], receiver='unknown', strict=True)
    query.set_default_explanation('DEFAULT')
    try:
        result, _, explanation = query.check()
    except Exception as failure:
        result, explanation = 'crash', repr(failure)
    answer = {'id': case['id'], 'results': [result], 'details': [str(explanation)[:200]]}
    print(json.dumps(answer), flush=True)
