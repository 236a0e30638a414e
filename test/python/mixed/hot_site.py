"""
A Django site whose every page changes the session as test/python/mixed/server.ts does, for gunicorn: `hot_site:application`.
SECRET_KEY, DATABASE_URL, SESSION_ENGINE and CACHES, a JSON object, come from the environment.
"""

import json
import os

from locallibrary.settings import database

from django.conf import settings

settings.configure(
    SECRET_KEY=os.environ['SECRET_KEY'],
    ALLOWED_HOSTS=['*'],
    DATABASES={'default': dict(database(os.environ['DATABASE_URL']), CONN_MAX_AGE=60)},
    INSTALLED_APPS=['django.contrib.auth', 'django.contrib.contenttypes', 'django.contrib.sessions'],
    MIDDLEWARE=['django.contrib.sessions.middleware.SessionMiddleware'],
    ROOT_URLCONF='hot_site',
    SESSION_ENGINE=os.environ['SESSION_ENGINE'],
    CACHES=json.loads(os.environ['CACHES']),
    SESSION_MERGE={'num_visits': 'add', 'cart': 'union', 'tally': 'add', 'checkout': 'fail'},
    USE_TZ=True,
)

from django.core.wsgi import get_wsgi_application  # noqa: E402

application = get_wsgi_application()

from django.contrib.auth import login, logout  # noqa: E402
from django.contrib.auth.models import User  # noqa: E402
from django.http import HttpResponse, JsonResponse  # noqa: E402
from django.urls import path  # noqa: E402


def visit(request):
    """
    Counts the visit, in all and for the group, and sets a leaf of a nested dictionary. With `before` it replaces an item
    of the cart, with `checkout` a value that only one of several requests may replace.
    """
    group, shelf, turn, before = (request.GET.get(name) for name in ('group', 'shelf', 'turn', 'before'))
    session = request.session
    found = {
        'visits': session.get('num_visits', 0),
        'turn': session.get('quantities', {}).get(group, {}).get(shelf),
        'checkout': session.get('checkout'),
    }
    item = '%s-%s' % (shelf, turn)
    session['num_visits'] = found['visits'] + 1
    if before is not None:
        session['cart'] = [each for each in session.get('cart', []) if each != before] + [item]
    session.setdefault('quantities', {}).setdefault(group, {})[shelf] = int(turn)
    tally = session.setdefault('tally', {})
    tally[group] = tally.get(group, 0) + 1
    if 'checkout' in request.GET:
        session['checkout'] = item
    return JsonResponse(found)


def user(request):
    """The id of the user who logs in."""
    return JsonResponse({'id': User.objects.get_or_create(username='ada')[0].pk})


def log_in(request):
    login(request, User.objects.get(pk=request.GET['user']), backend='django.contrib.auth.backends.ModelBackend')
    return HttpResponse()


def log_out(request):
    logout(request)
    return HttpResponse()


urlpatterns = [path('visit', visit), path('user', user), path('login', log_in), path('logout', log_out)]
