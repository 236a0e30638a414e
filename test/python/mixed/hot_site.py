"""
A Django site whose every page changes the session as test/python/mixed/server.ts does, for gunicorn: `hot_site:application`.
SECRET_KEY, DATABASE_URL and SESSION_ENGINE come from the environment.
"""

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
    SESSION_MERGE={'num_visits': 'add', 'cart': 'union'},
    USE_TZ=True,
)

from django.core.wsgi import get_wsgi_application  # noqa: E402

application = get_wsgi_application()

from django.contrib.auth import login  # noqa: E402
from django.contrib.auth.models import User  # noqa: E402
from django.http import HttpResponse, JsonResponse  # noqa: E402
from django.urls import path  # noqa: E402


def visit(request):
    """Counts the visit, sets a leaf of a dictionary, and with `before` replaces an item of the cart."""
    shelf, turn, before = (request.GET.get(name) for name in ('shelf', 'turn', 'before'))
    session = request.session
    found = {'visits': session.get('num_visits', 0), 'turn': session.get('quantities', {}).get(shelf)}
    session['num_visits'] = found['visits'] + 1
    if before is not None:
        session['cart'] = [item for item in session.get('cart', []) if item != before] + ['%s-%s' % (shelf, turn)]
    session.setdefault('quantities', {})[shelf] = int(turn)
    return JsonResponse(found)


def log_in(request):
    user, _ = User.objects.get_or_create(username='ada')
    login(request, user, backend='django.contrib.auth.backends.ModelBackend')
    return HttpResponse()


urlpatterns = [path('visit', visit), path('login', log_in)]
