"""Makes sessions as real Django makes them, also broken ones, and says what real Django does with a cookie.

{"do": "plant", "code": "<Python>", "settings": {...}}   runs the code under these settings; answers {"result": result}
{"do": "observe", "cookie": "<Cookie header>", "settings": {...}}  answers {"outcome": …} as src/operations/explain/causes.ts
                                                                   names it; a real request, through Django's real middleware
Settings are those of Django, by override_settings. Of the code, `result` is the answer.
"""

import base64
import datetime
import importlib
import json
import logging
import sys
import time
import warnings
from unittest import mock

import django
from django.test.utils import override_settings

warnings.simplefilter('ignore')
django.setup()

from django.conf import settings
from django.contrib import auth
from django.core import signing
from django.core.exceptions import SuspiciousOperation
from django.core.management import call_command
from django.db import connection
from django.http import parse_cookie
from django.test import Client
from django.utils import timezone

logging.disable(logging.CRITICAL)


def store(key=None):
    return importlib.import_module(settings.SESSION_ENGINE).SessionStore(key)


def saved(**data):
    """A saved session."""
    session = store()
    session.update(data)
    session.save()
    return session


def header(session, name=None):
    return '%s=%s' % (name or settings.SESSION_COOKIE_NAME, session.session_key)


def row(session_data, seconds=3600, key=None):
    """A row with this text, as Django's own model writes it; returns the Cookie header."""
    session = store(key) if key else saved()
    model = session.model
    expires = timezone.now() + datetime.timedelta(seconds=seconds)
    model.objects.update_or_create(
        session_key=session.session_key,
        defaults={'session_data': session_data, 'expire_date': expires},
    )
    return header(session)


def text_of(session):
    return session.model.objects.get(pk=session.session_key).session_data


class Bytes:
    """A serializer for bytes that stand for themselves."""

    def dumps(self, obj):
        return obj

    def loads(self, data):
        return data


def raw(payload, salt=None):
    """A text whose signature is right, around bytes that Django would not write."""
    session = store()
    if hasattr(session, 'key_salt'):
        return signing.dumps(payload, salt=salt or session.key_salt, serializer=Bytes, compress=True)
    return base64.b64encode(session._hash(payload).encode() + b':' + payload).decode()


def stamped(payload):
    """The same around base64 that Django would not write."""
    return signing.TimestampSigner(salt=store().key_salt).sign(payload)


def user(name='ann', **fields):
    User = auth.get_user_model()
    found = User.objects.filter(**{User.USERNAME_FIELD: name}).first()
    if found is None:
        found = User(**{User.USERNAME_FIELD: name, 'password': 'pbkdf2_sha256$1$salt$never checked'})
    for field, value in fields.items():
        setattr(found, field, value)
    found.save()
    return found


def logged_in(found, backend='django.contrib.auth.backends.ModelBackend', **data):
    """A session in which this user is logged in."""
    session = saved(
        _auth_user_id=str(found.pk),
        _auth_user_backend=backend,
        _auth_user_hash=found.get_session_auth_hash(),
        **data,
    )
    return session


def sql(statement, *values):
    with connection.cursor() as cursor:
        cursor.execute(statement, values)


def get(path, cookie, method='get', body=None):
    """The status, the body and the Set-Cookie of a request."""
    client = Client()
    more = {} if body is None else {'data': body, 'content_type': 'application/json'}
    try:
        response = getattr(client, method)(path, HTTP_COOKIE=cookie, **more)
    except Exception:
        return 500, '', None  # The test client raises what a server answers with 500.
    sent = response.cookies.get(settings.SESSION_COOKIE_NAME)
    return response.status_code, response.content.decode(), sent and sent.value


def is_stored(cookie):
    key = parse_cookie(cookie).get(settings.SESSION_COOKIE_NAME)
    try:
        return bool(key) and store().exists(key)
    except SuspiciousOperation:
        return False  # Not a file name, says the file engine.


def outcome(cookie):
    status, body, _ = get('/_test/session', cookie)
    if status == 500:
        return 'fails'
    data = json.loads(body)
    if '_auth_user_id' in data:
        before = is_stored(cookie)
        status, body, _ = get('/_test/user', cookie)
        if status == 500:
            return 'fails'
        if body == 'null':
            return 'anonymous' if is_stored(cookie) == before else 'logs-out'
        return 'loads'
    if data:
        status, _, _ = get('/_test/session', cookie, 'post', '{"probe": 1}')
        return 'fails-to-save' if status == 500 else 'loads'
    before = is_stored(cookie)
    _, _, sent = get('/_test/session', cookie, 'post', '{"probe": 1}')
    return 'overwrites' if before and sent == parse_cookie(cookie)[settings.SESSION_COOKIE_NAME] else 'empty'


def answer(do, code=None, cookie=None, settings={}):
    with override_settings(**settings):
        if do == 'observe':
            return {'outcome': outcome(cookie)}
        names = dict(globals())
        exec(code, names)
        return {'result': names.get('result')}


for line in sys.stdin:
    try:
        reply = answer(**json.loads(line))
    except Exception as error:
        reply = {'error': '%s: %s' % (type(error).__name__, error)}
    print(json.dumps(reply), flush=True)
