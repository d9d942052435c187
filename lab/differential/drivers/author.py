# Reads one From value a line, as JSON strings, and answers with the domains that Python's email
# package shows: lenient and strict address lists, and the first address alone.
import email.utils, json, sys

def domains(pairs):
    return [a.rsplit('@', 1)[1] for _, a in pairs if '@' in a]

for line in sys.stdin:
    value = json.loads(line).encode('latin-1', 'replace').decode('utf-8', 'replace').replace('\r\n', '')
    found = []
    for options in ({'strict': False}, {'strict': True}, {}):
        try:
            found += domains(email.utils.getaddresses([value], **options))
            found += domains([email.utils.parseaddr(value, **options)])
        except Exception:
            pass  # a Python without the option, or a value that it cannot read
    print(json.dumps(sorted(set(found))), flush=True)
