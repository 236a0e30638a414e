"""Django's cache framework, told by lines: a JSON request a line in, a JSON answer a line out. CACHES is JSON.

{"cache": "default", "do": "set", "key": "k", "value": "<Python expression>", "timeout": 60}  also "add"
{"cache": "default", "do": "get", "key": "k"}     -> {"result": "<repr>"}
{"cache": "default", "do": "delete", "key": "k"}
An exception                                      -> {"error": "ConnectionError: …"}
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

from django.core.cache import caches  # noqa: E402 (needs the settings)

NAMES = {'datetime': datetime, 'Decimal': decimal.Decimal, 'UUID': uuid.UUID}


def answer(cache, do, key, value=None, timeout=None):
    operation = getattr(caches[cache], do)
    return operation(key) if value is None else operation(key, eval(value, NAMES), timeout)


for line in sys.stdin:
    try:
        reply = {'result': repr(answer(**json.loads(line)))}
    except Exception as error:
        reply = {'error': '%s: %s' % (type(error).__name__, error)}
    print(json.dumps(reply), flush=True)
