"""Prints what the sessions of a Django project depend on: one JSON document between two markers.

    PYTHON ask_django.py /path/of/manage.py SETTINGS_MODULE_OR_NOTHING NAME_OF_A_SETTING...

It is run by the project's own Python (3.6 or newer) with its own Django (2.2 or newer), and needs nothing else there. It
does what manage.py does before a command, and then only looks: it writes nothing and connects to no database. The
document holds secrets, so standard output must be a pipe.
"""

import enum
import getpass
import inspect
import json
import math
import os
import runpy
import sys
import tempfile
import traceback

BEGIN = '<<<koa-django-sessions'
END = 'koa-django-sessions>>>'

ABSENT = object()


class Prepared(BaseException):
    """manage.py has called Django's command line, so it has done all that it does for each command."""


def answers(manage, module, names):
    prepare(manage, module)
    import django
    from django.conf import global_settings, settings

    django.setup()
    found = {name: getattr(settings, name) for name in names if hasattr(settings, name)}
    defaults = {name: getattr(global_settings, name, ABSENT) for name in found}
    return {
        'django': '.'.join(str(part) for part in django.VERSION[:3]),
        'python': '.'.join(str(part) for part in sys.version_info[:3]),
        'module': os.environ.get('DJANGO_SETTINGS_MODULE', ''),
        'settings': {name: plain(value) for name, value in found.items()},
        'changed': [name for name, value in found.items() if value != defaults[name]],
        'middleware': plain(settings.MIDDLEWARE),
        'debug': bool(settings.DEBUG),
        'folder': os.getcwd(),
        'temporaryFolder': tempfile.gettempdir(),
        'user': attempt(user_model),
        'store': attempt(session_store),
        'cacheAlias': attempt(cache_database),
        'databases': databases(),
        'urls': {name: url(name) for name in names if name.startswith('LOG') and name.endswith('_URL')},
        'account': attempt(getpass.getuser),
        'environment': {key: value for key, value in os.environ.items() if key.startswith('PG') or key == 'HOME'},
    }


def prepare(manage, module):
    """Runs manage.py up to its call of Django's command line: sys.path, the environment and the settings are as it sets them."""
    from django.core import management

    def command_line(*arguments, **options):
        raise Prepared

    if module:
        os.environ['DJANGO_SETTINGS_MODULE'] = module
    management.execute_from_command_line = command_line
    sys.path[0] = os.path.dirname(manage)
    sys.argv = [manage, 'check']
    try:
        runpy.run_path(manage, run_name='__main__')
    except Prepared:
        pass
    else:
        raise RuntimeError('it does not call django.core.management.execute_from_command_line')
    if module:
        # As `manage.py --settings`, which comes after what manage.py itself sets.
        os.environ['DJANGO_SETTINGS_MODULE'] = module


def attempt(function):
    try:
        return function()
    except Exception as error:
        return {'error': last_line(error)}


def databases():
    from django.db import connections

    def database(alias):
        connection = connections[alias]
        parts = {key: plain(connection.settings_dict.get(key)) for key in PARTS}
        driver = getattr(getattr(connection, 'Database', None), '__name__', '')
        return dict(parts, vendor=connection.vendor, driver=driver)

    return {alias: attempt(lambda: database(alias)) for alias in connections}


PARTS = ('ENGINE', 'NAME', 'USER', 'PASSWORD', 'HOST', 'PORT', 'OPTIONS', 'TIME_ZONE')


def user_model():
    from django.contrib.auth import get_user_model
    from django.db import router

    model = get_user_model()
    meta = model._meta
    key = meta.pk
    while key.remote_field is not None:
        key = key.target_field
    return {
        'table': meta.db_table,
        'alias': router.db_for_read(model),
        'idColumn': meta.pk.column,
        'idType': key.get_internal_type(),
        'usernameField': model.USERNAME_FIELD,
        'fields': {name: field(model, name) for name in (model.USERNAME_FIELD,) + FIELDS},
        'relations': {name: relation(model, name) for name in ('groups', 'user_permissions')},
        'sessionHash': owner(model, 'get_session_auth_hash'),
    }


FIELDS = ('password', 'last_login', 'is_active', 'is_staff', 'is_superuser', 'first_name', 'last_name')


def field(model, name):
    from django.core.exceptions import FieldDoesNotExist

    try:
        found = model._meta.get_field(name)
    except FieldDoesNotExist:
        value = inspect.getattr_static(model, name, ABSENT)
        if value is ABSENT or value is None:
            return {'is': 'missing'}
        return {'is': 'constant', 'value': value} if isinstance(value, bool) else {'is': 'computed'}
    inherited = found.model._meta.concrete_model is not model._meta.concrete_model
    return {'is': 'inherited' if inherited else 'column', 'column': found.column}


def relation(model, name):
    from django.core.exceptions import FieldDoesNotExist

    try:
        found = model._meta.get_field(name)
    except FieldDoesNotExist:
        return None
    if not found.many_to_many:
        return None
    return {'table': found.remote_field.through._meta.db_table, 'column': found.m2m_column_name()}


def owner(model, name):
    """The class that defines this method."""
    for one in model.__mro__:
        if name in vars(one):
            return one.__module__ + '.' + one.__qualname__
    return None


def session_store():
    from importlib import import_module

    from django.conf import settings

    engine = import_module(settings.SESSION_ENGINE)
    store = engine.SessionStore
    session = store()
    serializer = getattr(session, 'serializer', None)
    age = getattr(session, 'get_session_cookie_age', lambda: settings.SESSION_COOKIE_AGE)
    return {
        'name': store.__name__,
        'qualifiedName': store.__qualname__,
        'classes': [
            {'module': one.__module__, 'name': one.__qualname__, 'defines': sorted(vars(one))} for one in store.__mro__
        ],
        'keySalt': plain(getattr(session, 'key_salt', None)),
        'cacheKeyPrefix': plain(getattr(session, 'cache_key_prefix', None)),
        'serializer': serializer and serializer.__module__ + '.' + serializer.__qualname__,
        'cookieAge': plain(age()),
        'model': session_model(engine, store),
    }


def session_model(engine, store):
    """What the table of the sessions is; None for an engine without a table."""
    from django.db import models, router

    get_model_class = getattr(store, 'get_model_class', None)
    model = getattr(engine, 'Session', None) if get_model_class is None else get_model_class()
    if model is None:
        return None
    own = ('session_key', 'session_data', 'expire_date')
    fields = model._meta.concrete_fields
    return {
        'table': model._meta.db_table,
        'alias': router.db_for_write(model),
        'columns': {one.name: one.column for one in fields if one.name in own},
        'required': [
            one.column
            for one in fields
            if one.name not in own
            and not one.null
            and not isinstance(one, models.AutoField)
            and getattr(one, 'db_default', models.NOT_PROVIDED) is models.NOT_PROVIDED
            and not getattr(one, 'generated', False)
        ],
    }


def cache_database():
    """The alias of the database of the sessions' cache; None for another cache."""
    from django.conf import settings
    from django.core.cache.backends.db import BaseDatabaseCache
    from django.db import router
    from django.utils.module_loading import import_string

    entry = settings.CACHES.get(settings.SESSION_CACHE_ALIAS, {})
    backend = import_string(entry.get('BACKEND', 'django.core.cache.backends.dummy.DummyCache'))
    if not issubclass(backend, BaseDatabaseCache):
        return None
    return router.db_for_write(backend(entry.get('LOCATION', ''), {}).cache_model_class)


def url(name):
    """Looks up the name of a URL pattern, for which the project's URLs are loaded; {'error': …} if there is no such pattern."""
    from django.conf import settings

    value = getattr(settings, name, None)
    if value is None:
        return None
    text = str(value)
    if '/' in text or '.' in text:
        return text
    from django.shortcuts import resolve_url

    return attempt(lambda: resolve_url(text))


def plain(value):
    """The value as JSON can hold it. An object that it cannot hold becomes {'__python__': its type}."""
    from django.utils.functional import Promise

    if isinstance(value, enum.Enum):
        return plain(value.value)
    if value is None or isinstance(value, (bool, int)) or (isinstance(value, float) and math.isfinite(value)):
        return value
    if isinstance(value, (str, Promise)):
        return str(value)
    if isinstance(value, os.PathLike):
        return plain(os.fspath(value))
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return {'__python__': 'bytes'}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if isinstance(value, (set, frozenset)):
        return sorted((plain(one) for one in value), key=str)
    if isinstance(value, dict):
        return {str(plain(key)): plain(one) for key, one in value.items()}
    return {'__python__': type(value).__module__ + '.' + type(value).__qualname__}


def last_line(error):
    return ''.join(traceback.format_exception_only(type(error), error)).strip().splitlines()[-1]


def failure(error, folder):
    """Where in the project it failed, and how."""
    frames = [
        one
        for one in traceback.extract_tb(error.__traceback__)
        if one.filename.startswith(folder + os.sep) and os.sep + 'site-packages' + os.sep not in one.filename
    ]
    where = '%s:%s' % (frames[-1].filename, frames[-1].lineno) if frames else ''
    missing = getattr(error, 'name', '') if isinstance(error, ImportError) else ''
    return {'error': last_line(error), 'where': where, 'missing': missing or ''}


def main():
    manage, module, names = sys.argv[1], sys.argv[2], sys.argv[3:]
    try:
        result = answers(manage, module, names)
    except (Exception, SystemExit) as error:
        result = failure(error, os.path.dirname(manage))
    # Not print: settings.py may have replaced or closed sys.stdout. ASCII, whatever the encoding of the terminal is.
    document = ('\n%s%s%s\n' % (BEGIN, json.dumps(result), END)).encode('ascii')
    while document:
        document = document[os.write(1, document) :]
    # Threads that the project started do not keep this process alive.
    os._exit(0)


main()
