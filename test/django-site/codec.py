"""Encodes and decodes session_data with the real SessionStore: a JSON request a line in, a JSON answer a line out.

{"encode": "<JSON text of a dict>"} -> {"result": "<session_data>"}
{"decode": "<session_data>"}        -> {"result": "<JSON text>"}
An exception                        -> {"error": "binascii.Error: Incorrect padding"}
"""

import importlib
import json
import logging
import sys

import django
from django.conf import settings

django.setup()
logging.disable(logging.CRITICAL)
store = importlib.import_module(settings.SESSION_ENGINE).SessionStore()


def answer(request):
    if 'encode' in request:
        return store.encode(json.loads(request['encode']))
    return json.dumps(store.decode(request['decode']), separators=(',', ':'))


for line in sys.stdin:
    try:
        reply = {'result': answer(json.loads(line))}
    except Exception as error:
        kind = type(error)
        reply = {'error': '%s.%s: %s' % (kind.__module__, kind.__qualname__, error)}
    print(json.dumps(reply), flush=True)
