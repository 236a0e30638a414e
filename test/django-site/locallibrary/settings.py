"""LocalLibrary's settings, as `startproject` makes them, with what tests vary taken from the environment.

SECRET_KEY, DATABASE_URL, TIME_ZONE, DATABASE_TIME_ZONE and DEFAULT_HASHING_ALGORITHM are plain text; SECRET_KEY_FALLBACKS, ALLOWED_HOSTS and
EXTRA_APPS are JSON lists, CACHES is a JSON object; USE_TZ and each setting that begins as in VARIED are JSON, or plain text where that is no JSON
(so SESSION_COOKIE_SAMESITE=Strict is the text, SESSION_COOKIE_DOMAIN=null is None). SESSION_MIDDLEWARE stands in for
Django's own; SESSION_DATABASE_URL is where a router keeps the sessions. Empty is unset.
"""

import json
import os
from urllib.parse import unquote, urlsplit

from django.utils import timezone

BASE_DIR = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def from_json(text):
    try:
        return json.loads(text)
    except ValueError:
        return text


def database(url):
    parts = urlsplit(url)
    name = unquote(parts.path[1:])
    if parts.scheme == 'sqlite':
        return {'ENGINE': 'django.db.backends.sqlite3', 'NAME': name or ':memory:', 'OPTIONS': {'timeout': 20}}
    server = {
        'NAME': name,
        'HOST': parts.hostname,
        'PORT': str(parts.port or ''),
        'USER': unquote(parts.username or ''),
        'PASSWORD': unquote(parts.password or ''),
    }
    if parts.scheme == 'mysql':
        return dict(server, ENGINE='django.db.backends.mysql', OPTIONS={'charset': 'utf8mb4'})
    if parts.scheme in ('postgres', 'postgresql'):
        return dict(server, ENGINE='django.db.backends.postgresql')
    raise ValueError('DATABASE_URL begins with mysql:, postgres: or sqlite:, not %s:' % parts.scheme)


given = {name: value for name, value in os.environ.items() if value}

SECRET_KEY = given['SECRET_KEY']
SECRET_KEY_FALLBACKS = json.loads(given.get('SECRET_KEY_FALLBACKS', '[]'))
DEBUG = False
ALLOWED_HOSTS = json.loads(given.get('ALLOWED_HOSTS', '["*"]'))

INSTALLED_APPS = [
    'django.contrib.admin',
    'django.contrib.auth',
    'django.contrib.contenttypes',
    'django.contrib.sessions',
    'django.contrib.messages',
    'django.contrib.staticfiles',
    'catalog.apps.CatalogConfig',
] + json.loads(given.get('EXTRA_APPS', '[]'))

if given.get('AUTH_USER_MODEL', '').startswith('accounts.'):
    INSTALLED_APPS.append('accounts')

MIDDLEWARE = [
    'django.middleware.security.SecurityMiddleware',
    given.get('SESSION_MIDDLEWARE', 'django.contrib.sessions.middleware.SessionMiddleware'),
    'django.middleware.common.CommonMiddleware',
    'django.middleware.csrf.CsrfViewMiddleware',
    'django.contrib.auth.middleware.AuthenticationMiddleware',
    'django.contrib.messages.middleware.MessageMiddleware',
    'django.middleware.clickjacking.XFrameOptionsMiddleware',
]

ROOT_URLCONF = 'locallibrary.urls'

TEMPLATES = [
    {
        'BACKEND': 'django.template.backends.django.DjangoTemplates',
        'DIRS': [],
        'APP_DIRS': True,
        'OPTIONS': {
            'context_processors': [
                'django.template.context_processors.request',
                'django.contrib.auth.context_processors.auth',
                'django.contrib.messages.context_processors.messages',
            ],
        },
    },
]

DATABASES = {'default': database(given.get('DATABASE_URL', 'sqlite:'))}
if 'SESSION_DATABASE_URL' in given:
    DATABASES['sessions'] = database(given['SESSION_DATABASE_URL'])
    DATABASE_ROUTERS = ['locallibrary.routers.SessionsElsewhere']
for alias, name in (('default', 'DATABASE_TIME_ZONE'), ('sessions', 'SESSION_DATABASE_TIME_ZONE')):
    if name in given:
        DATABASES[alias]['TIME_ZONE'] = given[name]
DEFAULT_AUTO_FIELD = 'django.db.models.BigAutoField'

LANGUAGE_CODE = 'en-us'
TIME_ZONE = given.get('TIME_ZONE', 'UTC')
USE_TZ = from_json(given.get('USE_TZ', 'true'))

STATIC_URL = '/static/'
LOGIN_REDIRECT_URL = '/'

# With DEBUG off Django's own configuration mails errors to nobody; the tests want to see them.
LOGGING = {
    'version': 1,
    'disable_existing_loggers': False,
    'formatters': {'plain': {'format': '%(levelname)s %(name)s: %(message)s'}},
    'handlers': {'console': {'class': 'logging.StreamHandler', 'formatter': 'plain'}},
    'root': {'handlers': ['console'], 'level': 'WARNING'},
    'loggers': {'django': {'handlers': ['console'], 'level': 'WARNING', 'propagate': False}},
}

VARIED = ('SESSION_', 'CSRF_', 'MESSAGE_', 'SECURE_', 'USE_X_', 'AUTH', 'PASSWORD_HASHERS')
for name, value in given.items():
    if name.startswith(VARIED):
        globals()[name] = from_json(value)
if 'CACHES' in given:
    CACHES = json.loads(given['CACHES'])
if 'DEFAULT_HASHING_ALGORITHM' in given:
    DEFAULT_HASHING_ALGORITHM = given['DEFAULT_HASHING_ALGORITHM']

# The doctor knows Django's rows by the microseconds of expire_date. One of 1000 ends with three zeros, as all of ours do: a
# test with one decisive row would fail then.
clock = timezone.now
timezone.now = lambda: next(now for now in iter(clock, None) if now.microsecond % 1000)
