#!/usr/bin/python3
"""opendkim-testmsg. One case a line on stdin, one answer a line on stdout. It says one thing of a
message: whether some signature is good.
"""

import json
import subprocess
import sys

import nameserver
import zone as stub

nameserver.start()
for line in sys.stdin:
    case = json.loads(line)
    nameserver.use(case['zone'])
    run = subprocess.run(['opendkim-testmsg'], input=stub.message(case), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    detail = run.stderr.decode('latin-1').strip()
    word = 'pass' if run.returncode == 0 else 'fail'
    print(json.dumps({'id': case['id'], 'results': [word], 'details': [detail[:200]]}), flush=True)
