"""Django's cache framework, told by lines: a JSON request a line in, a JSON answer a line out. CACHES is JSON.

{"do": "set", "key": "k", "value": "<Python expression>", "timeout": 60}  also "add"
{"do": "get", "key": "k"}    -> {"result": "<repr>"}
{"do": "delete", "key": "k"}
{"do": "key", "key": "k"}    -> {"result": "<repr of the key in the medium>"}
An exception                 -> {"error": "ConnectionError: …"}
"""

import datetime
import decimal
import json
import os
import sys
import uuid
import warnings

import django
from django.conf import settings

warnings.simplefilter('ignore')
settings.configure(CACHES=json.loads(os.environ['CACHES']), DATABASES={}, USE_TZ=True)
django.setup()

from django.core.cache import cache  # noqa: E402 (needs the settings)

NAMES = {'datetime': datetime, 'Decimal': decimal.Decimal, 'UUID': uuid.UUID}


def answer(do, key, value=None, timeout=None):
    if do == 'key':
        return cache.make_key(key)
    if do in ('set', 'add'):
        return getattr(cache, do)(key, eval(value, NAMES), timeout)
    return getattr(cache, do)(key)


for line in sys.stdin:
    try:
        reply = {'result': repr(answer(**json.loads(line)))}
    except Exception as error:
        reply = {'error': '%s: %s' % (type(error).__name__, error)}
    print(json.dumps(reply), flush=True)
