"""The DNS of a case: see zone.go. Names and texts carry octets as Latin-1."""

import binascii


class Failure(Exception):
    """The lookup failed; the argument is SERVFAIL or TIMEOUT."""


def lookup(zone, name, rrtype):
    """Returns the records, following aliases; raises Failure."""
    name = name.lower().rstrip('.')
    for _ in range(10):
        fault = zone['fault'].get(name + ' ' + rrtype)
        if fault:
            raise Failure(fault)
        sets = zone['rr'].get(name, {})
        if 'CNAME' not in sets:
            return sets.get(rrtype, [])
        name = sets['CNAME'][0].lower().rstrip('.')
    raise Failure('SERVFAIL')


def message(case):
    return binascii.a2b_base64(case['message'])
