"""
Measures Django's CPU time with two session engines in one process: `merging.py ENGINE OTHER_ENGINE ROUNDS`.

LocalLibrary's home page loads and saves the session. Blocks of requests take turns between the engines, so the machine's load and its
clock rate affect both alike. The handler is called directly: no client and no HTTP server takes part. Prints one JSON array: for each round, the
microseconds of CPU time per request with each engine.
"""

import importlib
import json
import sys
import time
from io import BytesIO

import django

django.setup()

from django.conf import settings  # noqa: E402
from django.core.handlers.wsgi import WSGIHandler  # noqa: E402

BLOCK = 40
engines, rounds = sys.argv[1:3], int(sys.argv[3])


def site(engine):
    """A site with this engine, and a visitor with a session. SessionMiddleware keeps the engine of its start."""
    settings.SESSION_ENGINE = engine
    store = importlib.import_module(engine).SessionStore()
    store.update({'num_visits': 0, 'cart': ['book-%d' % number for number in range(10)], 'theme': 'dark'})
    store.create()
    return WSGIHandler(), store.session_key


def visit(handler, key):
    environ = {
        'REQUEST_METHOD': 'GET',
        'PATH_INFO': '/catalog/',
        'SERVER_NAME': 'localhost',
        'SERVER_PORT': '80',
        'HTTP_COOKIE': 'sessionid=' + key,
        'wsgi.input': BytesIO(),
        'wsgi.url_scheme': 'http',
    }
    statuses = []
    response = handler(environ, lambda status, headers: statuses.append(status))
    page = b''.join(response)
    response.close()
    assert statuses == ['200 OK'] and b'You have visited this page' in page


def block(handler, key):
    begin = time.process_time()
    for _ in range(BLOCK):
        visit(handler, key)
    return (time.process_time() - begin) / BLOCK * 1e6


sites = [site(engine) for engine in engines]
for handler, key in sites:
    block(handler, key)
measured = []
for turn in range(rounds):
    # The first one of a round may find cold caches of the processor: they take turns at that, too.
    pair = [(at, block(*sites[at])) for at in ((0, 1) if turn % 2 == 0 else (1, 0))]
    measured.append([time for _, time in sorted(pair)])
print(json.dumps(measured))
