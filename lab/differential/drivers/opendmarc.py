#!/usr/bin/python3
"""opendmarc in its test mode (-t). One case a line on stdin, one answer a line on stdout. It is told
what passed by an Authentication-Results field that it trusts: as DKIM, since this mode takes no
results of SPF. The policies of the cases are as strict for the one as for the other.
"""

import json
import os
import re
import subprocess
import sys
import tempfile

import nameserver
import zone as stub

nameserver.start()
folder = tempfile.mkdtemp()
config, text, suffixes = (os.path.join(folder, name) for name in ('conf', 'message', 'suffixes'))
with open(suffixes, 'w') as f:
    f.write('com\nnet\norg\n')
with open(config, 'w') as f:
    f.write('AuthservID mx.test\nTrustedAuthservIDs mx.test\nSyslog false\nRequiredHeaders false\nPublicSuffixList ' + suffixes + '\n')

for line in sys.stdin:
    case = json.loads(line)
    nameserver.use(case['zone'])
    results = ['dkim=pass header.d=' + d for d in case['spf'] + case['dkim']]
    with open(text, 'wb') as f:
        f.write(b'Authentication-Results: mx.test; ' + '; '.join(results or ['none']).encode() + b'\r\n' + stub.message(case))
    run = subprocess.run(['opendmarc', '-c', config, '-t', text, '-v', '-v'], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    said = run.stdout.decode('latin-1')
    found = re.search(r"dmarc=(\w+) .*header\.from=([^' ;]*)", said)
    results = [found.group(1), found.group(2).lower()] if found else ['none', '']
    print(json.dumps({'id': case['id'], 'results': results, 'details': [found.group(0) if found else said[-200:]]}), flush=True)
