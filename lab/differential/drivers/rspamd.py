#!/usr/bin/python3
"""rspamd with its spf, dkim and dmarc modules alone. One case a line on stdin, one answer a line on
stdout.
"""

import atexit
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

import nameserver
import zone as stub

CONFIG = """
options {
  pidfile = "%(dir)s/pid"; tempdir = "%(dir)s"; hs_cache_dir = "%(dir)s"; stats_file = "%(dir)s/stats"; control_socket = "%(dir)s/control mode=0600";
  filters = "dkim"; url_tld = "%(dir)s/suffixes"; local_addrs = []; neighbours {}
  dns { nameserver = ["127.0.0.1:53:10"]; timeout = 2s; retransmits = 1; }
}
logging { type = "console"; level = "error"; }
worker "normal" { bind_socket = "127.0.0.1:11333"; count = 1; }
lua = "/usr/share/rspamd/rules/rspamd.lua";
modules { path = "/usr/share/rspamd/plugins/spf.lua"; path = "/usr/share/rspamd/plugins/dmarc.lua"; }
metric { name = "default"; actions { reject = 100000; } unknown_weight = 1.0; }
dmarc { enabled = true; actions {} }
spf { enabled = true; spf_cache_size = 1; }
dkim { enabled = true; dkim_cache_size = 1; }
"""

WORDS = {'DMARC_POLICY_ALLOW': 'pass', 'DMARC_POLICY_REJECT': 'fail', 'DMARC_POLICY_QUARANTINE': 'fail', 'DMARC_POLICY_SOFTFAIL': 'fail',
         'DMARC_POLICY_ALLOW_WITH_FAILURES': 'pass', 'DMARC_NA': 'none', 'DMARC_BAD_POLICY': 'permerror', 'DMARC_DNSFAIL': 'temperror'}

nameserver.start()
folder = tempfile.mkdtemp()
os.chmod(folder, 0o777)
with open(os.path.join(folder, 'conf'), 'w') as f:
    f.write(CONFIG % {'dir': folder})
with open(os.path.join(folder, 'suffixes'), 'w') as f:
    f.write('com\nnet\norg\ntest\n')  # the whole list takes seconds to compile
daemon = subprocess.Popen(['rspamd', '--insecure', '-f', '-c', os.path.join(folder, 'conf')], stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL)


def stop():
    daemon.terminate()  # it ends its workers
    daemon.wait(20)


atexit.register(stop)


direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def ask(case):
    headers = {'IP': case['ip'], 'Helo': case['helo'], 'From': case['sender'], 'Hostname': 'unknown'}
    request = urllib.request.Request('http://127.0.0.1:11333/checkv2', data=stub.message(case), headers=headers)
    for _ in range(600):
        try:
            with direct.open(request, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.URLError:
            time.sleep(0.1)
    raise SystemExit('rspamd does not answer')


for line in sys.stdin:
    case = json.loads(line)
    nameserver.use(case['zone'])
    symbols = ask(case).get('symbols', {})
    results = ['none', '']
    for name, word in WORDS.items():
        if name in symbols:
            options = symbols[name].get('options') or ['']
            results = [word, re.split(r'[ ,:]', options[0])[0].lower()]
    print(json.dumps({'id': case['id'], 'results': results, 'details': [json.dumps({n: s.get('options') for n, s in symbols.items()})[:300]]}), flush=True)
