"""Merges each case of the JSON array in sys.stdin; prints the merged texts as a JSON array, null where the policy is `fail`."""

import json
import os
import sys
import types

try:
    import django  # noqa: F401
except ImportError:
    # A Python without Django: merge.py needs the name of one class.
    for name in ('django', 'django.contrib', 'django.contrib.sessions', 'django.contrib.sessions.backends'):
        sys.modules[name] = types.ModuleType(name)
    sys.modules['django.contrib.sessions.backends.base'] = types.ModuleType('base')
    sys.modules['django.contrib.sessions.backends.base'].UpdateError = Exception

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../python'))
from merging_sessions.merge import SessionConflict, merge  # noqa: E402

FUNCTIONS = {'tests.three': lambda loaded, mine, theirs: [loaded, mine, theirs]}


def merged(case):
    policies = {key: FUNCTIONS.get(policy, policy) for key, policy in case['policies'].items()}
    try:
        result = merge(*(json.loads(case[name]) for name in ('loaded', 'mine', 'theirs')), policies)
    except SessionConflict:
        return None
    return json.dumps(result, separators=(',', ':'))


json.dump([merged(case) for case in json.load(sys.stdin)], sys.stdout)
