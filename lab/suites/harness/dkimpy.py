#!/usr/bin/python3
"""Runs the tests of dkimpy, whose source is the argument, and prints every message that they
verify as a line: the test, dkim or arc, the message, the keys asked for, the result."""

import json
import sys
import unittest

lines, sys.stdout = sys.stdout, sys.stderr  # a test may print
sys.path.insert(0, sys.argv[1])
import dkim  # noqa: E402

TESTS = ['test_dkim', 'test_arc', 'test_dkim_ed25519', 'test_dkim_generate', 'test_dkim_rsavariants', 'test_dkim_tlsrpt']
running = ''


def text(octets):
    return octets.decode('latin-1') if isinstance(octets, bytes) else octets


def watched(kind, verify, word):
    def watch(self, *args, dnsfunc=dkim.get_txt, **options):
        keys = {}

        def lookup(name, timeout=5):
            record = dnsfunc(name, timeout=timeout)
            keys[text(name)] = text(record)
            return record
        result = 'fail'
        try:
            returned = verify(self, *args, dnsfunc=lookup, **options)
            result = word(returned)
            return returned
        finally:
            message = b''.join(name + b':' + value for name, value in self.headers) + b'\r\n' + self.body
            json.dump({'test': running, 'kind': kind, 'index': args[0] if args else options.get('idx', 0),
                       'message': text(message), 'keys': keys, 'want': result}, lines)
            lines.write('\n')
    return watch


class Result(unittest.TestResult):
    def startTest(self, test):
        global running
        running = test.id().split('.')[-1]
        super().startTest(test)


dkim.DKIM.verify = watched('dkim', dkim.DKIM.verify, lambda ok: 'pass' if ok else 'fail')
dkim.ARC.verify = watched('arc', dkim.ARC.verify, lambda verdict: text(verdict[0]).lower())
result = Result()
unittest.defaultTestLoader.loadTestsFromNames('dkim.tests.' + name for name in TESTS).run(result)
for test, trace in result.errors + result.failures:
    sys.exit('%s: %s' % (test.id(), trace))
