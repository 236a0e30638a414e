"""Executes the requests of a history on the session that Django's middleware loads and saves: see history.ts."""

import json

from django.conf import settings
from django.http import JsonResponse
from django.urls import path


def execute(request):
    operation = json.loads(request.body.decode())
    kind, client, session = operation['kind'], operation['client'], request.session
    seen = contents(session)
    if kind != 'create' and session.session_key is None:
        return JsonResponse({'outcome': 'gone'})
    if kind in ('create', 'change'):
        number = operation['number']
        session['log'] = seen['log'] + ['%s.%d' % (client, number)]
        session['count'] = seen['count'] + 1
        session['last_' + client] = number
        session['cart'] = dict(seen['cart'], **{client: number})
    elif kind == 'logout':
        session.flush()
    elif kind == 'expire':
        session.set_expiry(-86400)  # further than any clock is wrong
    if settings.SESSION_ENGINE.endswith('.cached_db'):  # It may have loaded a copy that is about to be deleted.
        return JsonResponse({'outcome': 'ok'})
    # Django's middleware saves later, so only what was loaded is known here.
    return JsonResponse({'outcome': 'ok', 'seen': seen, 'isBefore': True})


def contents(session):
    data = dict(session.items())
    return {
        'log': data.get('log', []),
        'count': data.get('count', 0),
        'last': {key[len('last_'):]: value for key, value in data.items() if key.startswith('last_')},
        'cart': data.get('cart', {}),
    }


urlpatterns = [path('', execute)]
