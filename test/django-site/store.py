"""Django's session stores, told by lines: a JSON request a line in, a JSON answer a line out.

{"do": "open", "as": "a", "engine": "cached_db", "cache": "redis", "key": "…"}  loads; without a key a new one
{"do": "set", "as": "a", "value": "<Python expression of a dict>"}              updates the loaded dictionary
{"do": "save", "as": "a"}, {"do": "flush", "as": "a"}, {"do": "clear_expired", …}
Each answers {"key": …, "data": "<repr>"} of the store, or {"error": "UpdateError: …"}.
"""

import datetime
import decimal
import importlib
import json
import logging
import sys
import uuid
import warnings

import django
from django.test.utils import override_settings

warnings.simplefilter('ignore')
django.setup()
logging.disable(logging.CRITICAL)

NAMES = {'datetime': datetime, 'Decimal': decimal.Decimal, 'UUID': uuid.UUID}
stores = {}


def open_store(engine, cache, key=None):
    module = importlib.import_module('django.contrib.sessions.backends.' + engine)
    with override_settings(SESSION_CACHE_ALIAS=cache):
        return module.SessionStore(key)


def answer(do, value=None, **where):
    name = where.pop('as')
    if do == 'open':
        stores[name] = open_store(**where)
    store = stores[name]
    if do == 'set':
        for key, item in eval(value, NAMES).items():
            store[key] = item
    elif do == 'clear_expired':
        store.clear_expired()
    elif do != 'open':
        getattr(store, do)()
    data = dict(store.items())
    return {'key': store.session_key, 'data': repr(data)}


for line in sys.stdin:
    try:
        reply = answer(**json.loads(line))
    except Exception as error:
        reply = {'error': '%s: %s' % (type(error).__name__, error)}
    print(json.dumps(reply), flush=True)
