"""Shows on a real database what the engines of merging_sessions keep. ENGINE is the engine's module."""

import importlib
import random
import threading
import unittest
from contextlib import contextmanager, nullcontext
from datetime import datetime, timezone
from io import BytesIO

from django.conf import settings
from django.contrib.sessions.backends.base import UpdateError
from django.contrib.sessions.base_session import AbstractBaseSession
from django.core import signing
from django.core.cache import caches
from django.core.handlers.wsgi import WSGIHandler
from django.core.exceptions import ImproperlyConfigured
from django.db import connections, models, transaction
from django.db.models.functions import Now
from django.db.models.signals import post_init, pre_save
from django.test.utils import override_settings

django_name = ENGINE.replace('merging_sessions', 'django.contrib.sessions.backends')
engine = importlib.import_module('merging_sessions.db')
Store = importlib.import_module(ENGINE).SessionStore
DjangoStore = importlib.import_module(django_name).SessionStore
rows = Store.get_model_class().objects


def new(**data):
    store = Store()
    store.update(data)
    store.save()
    return store.session_key


def opened(key):
    store = Store(key)
    list(store.items())
    return store


def stored(key):
    return Store().decode(rows.get(pk=key).session_data)


def pair(**data):
    key = new(**data)
    return key, opened(key), opened(key)


def equal(found, expected):
    assert found == expected, '%r, expected %r' % (found, expected)


def raises(kind, call):
    try:
        call()
    except kind as error:
        return error
    raise AssertionError('%s was not raised' % kind.__name__)


def rows_are_djangos():
    key = new(a=1)
    equal(dict(DjangoStore(key).items()), {'a': 1})
    equal(Store().encode({'a': 1}).split(':')[0], DjangoStore().encode({'a': 1}).split(':')[0])
    django = DjangoStore(key)
    django['b'] = 2
    django.save()
    equal(dict(opened(key).items()), {'a': 1, 'b': 2})
    Store(key).delete()
    assert not rows.filter(pk=key).exists()


def keys_of_both_are_kept():
    key, mine, theirs = pair(a=1, gone=2, kept=3)
    theirs['theirs'] = 1
    theirs['a'] = 9
    theirs.save()
    mine['mine'] = 1
    del mine['gone']
    mine.save()
    equal(stored(key), {'a': 9, 'kept': 3, 'mine': 1, 'theirs': 1})
    equal(dict(mine.items()), stored(key))
    mine['again'] = 1
    mine.save()
    equal(stored(key)['again'], 1)


def django_saves_are_kept():
    key = new(a=1)
    mine = opened(key)
    django = DjangoStore(key)
    django['django'] = 1
    django.save()
    mine['mine'] = 1
    mine.save()
    equal(stored(key), {'a': 1, 'django': 1, 'mine': 1})


def texts_are_compared_by_byte():
    key = new(a=1)
    mine = opened(key)
    if getattr(mine, '_loaded').text is None:
        return  # known from the cache alone
    row = rows.get(pk=key)
    rows.filter(pk=key).update(session_data=row.session_data.swapcase())
    mine['b'] = 2
    assert not mine._swap(mine.create_model_instance({}), row.session_data, 'default')


def dictionaries_merge_by_leaf():
    key, mine, theirs = pair(cart={'a': 1, 'b': 1, 'in': {'x': 1}})
    theirs['cart']['b'] = 2
    theirs['cart']['in']['y'] = 2
    theirs.save()
    mine['cart']['a'] = 3
    del mine['cart']['in']['x']
    mine.save()
    equal(stored(key), {'cart': {'a': 3, 'b': 2, 'in': {'y': 2}}})


def an_object_that_the_request_holds_stays():
    key, mine, theirs = pair(cart=[1])
    cart = mine['cart']
    theirs['theirs'] = 1
    theirs.save()
    mine['mine'] = 1
    mine.save()
    cart.append(2)
    mine.save()
    equal(stored(key)['cart'], [1, 2])


@override_settings(SESSION_MERGE={'n': 'add', 'ids': 'union', 'f': 'fail'})
def policies_apply():
    key, mine, theirs = pair(n=1, ids=[1, 2], f=1)
    for store, item in ((theirs, 3), (mine, 4)):
        store['n'] += 1
        store['ids'] = [each for each in store['ids'] if each != item - 2] + [item]
        store.save()
    equal(stored(key), {'n': 3, 'ids': [3, 4], 'f': 1})
    mine, theirs = opened(key), opened(key)
    theirs['f'] = 2
    theirs.save()
    mine['f'] = 3
    raises(UpdateError, mine.save)
    equal(stored(key)['f'], 2)


def longest(loaded, mine, theirs):
    return max(mine, theirs, key=len)


def broken(loaded, mine, theirs):
    raise ValueError(mine)


def a_policy_of_the_site_applies():
    import sys
    import types

    policies = sys.modules['site_policies'] = types.ModuleType('site_policies')
    policies.longest, policies.broken = longest, broken
    with override_settings(SESSION_MERGE={'t': 'site_policies.longest', 'b': 'site_policies.broken'}):
        key, mine, theirs = pair(t='', b=0)
        theirs['t'] = 'longer'
        theirs.save()
        mine['t'] = 'long'
        mine.save()
        equal(stored(key)['t'], 'longer')
        mine, theirs = opened(key), opened(key)
        theirs['b'] = 1
        theirs.save()
        mine['b'] = 'a value'
        (line,) = logs(mine.save)  # as Django: the last write wins
        assert line.startswith('ERROR:merging_sessions:A session could not be merged;'), line
        assert 'ValueError in' in line and ', in broken' in line and 'a value' not in line, line
        equal(stored(key)['b'], 'a value')


def a_wrong_setting_says_so():
    for wrong, says in (
        ({'a': 'sum'}, "SESSION_MERGE['a'] is 'sum'; expected last, add, union, fail or the dotted path of a function"),
        ({'_auth_user_id': 'last'}, "SESSION_MERGE['_auth_user_id']: a key of Django, whose value cannot be merged"),
        ({'a': ['last']}, "SESSION_MERGE['a'] is ['last']; expected"),
        ({'a': 'no.such.function'}, "SESSION_MERGE['a'] cannot be imported: No module named 'no'"),
        ({'a': 'django.VERSION'}, "SESSION_MERGE['a']: django.VERSION is not a function"),
        ({1: 'add'}, 'SESSION_MERGE has the key 1; expected a string'),
        ('add', 'SESSION_MERGE is of type str; expected a dictionary, such as {"num_visits": "add"}'),
    ):
        with override_settings(SESSION_MERGE=wrong):
            assert says in str(raises(ImproperlyConfigured, Store)), wrong
    with override_settings(SESSION_MERGE={'a': 'sum'}):
        raises(ImproperlyConfigured, lambda: importlib.reload(engine))  # The site does not start.


def logs(call):
    """What the call logs."""
    with unittest.TestCase().assertLogs('merging_sessions') as captured:
        call()
    return captured.output


def a_row_that_cannot_be_read_does_not_empty_the_session():
    """Another process wrote it, for instance with a new SECRET_KEY. It is saved as in Django: the last write wins."""
    key, mine, other = pair(login=1, cart=[1])
    with override_settings(SECRET_KEY='another key'):
        text = Store().encode({'login': 1, 'cart': [1], 'secret': 'value'})
    rows.filter(pk=key).update(session_data=text)
    mine['mine'] = 1
    (line,) = logs(mine.save)
    assert line.startswith('ERROR:merging_sessions:Another process wrote a session that this process cannot read'), line
    assert key not in line and 'value' not in line and text not in line
    equal(stored(key), {'login': 1, 'cart': [1], 'mine': 1})
    other['other'] = 1
    other.save()
    equal(stored(key), {'login': 1, 'cart': [1], 'mine': 1, 'other': 1})
    rows.filter(pk=key).update(session_data=text)
    logs(other.cycle_key)
    equal(stored(other.session_key), {'login': 1, 'cart': [1], 'mine': 1, 'other': 1})
    assert not rows.filter(pk=key).exists()
    # A row that can be read follows before the save. Nothing counts twice.
    with override_settings(SESSION_MERGE={'n': 'add'}):
        key, mine, _ = pair(n=5, gone=1)
        rows.filter(pk=key).update(session_data=text)
        mine['n'] += 1

        def swap(row, expected, using):
            if expected == text:
                rows.filter(pk=key).update(session_data=Store().encode({'n': 7}))
            return type(mine)._swap(mine, row, expected, using)

        mine._swap = swap
        logs(mine.save)
        equal(stored(key), {'n': 8})
    # Others may have emptied a session that can be read.
    key, mine, theirs = pair(a=1)
    del theirs['a']
    theirs.save()
    mine['mine'] = 1
    mine.save()
    equal(stored(key), {'mine': 1})
    # A session that could not be read when it was loaded is merged with what can be read at the save.
    rows.filter(pk=key).update(session_data=text)
    forget_copy(key)
    late = opened(key)
    rows.filter(pk=key).update(session_data=Store().encode({'theirs': 1}))
    late['late'] = 1
    late.save()
    equal(stored(key), {'theirs': 1, 'late': 1})


def a_deleted_session_stays_deleted():
    key, mine, theirs = pair(a=1)
    theirs.flush()
    mine['a'] = 2
    raises(UpdateError, mine.save)
    assert not rows.filter(pk=key).exists()
    equal(dict(Store(key).items()), {})


def flush_and_clear_are_djangos():
    key, mine, theirs = pair(a=1, b=2)
    theirs['c'] = 3
    theirs.save()
    mine.clear()
    mine['d'] = 4
    mine.save()
    equal(stored(key), {'c': 3, 'd': 4})
    unread = Store(key)
    unread.clear()
    unread.save()
    equal(stored(key), {})
    unread.flush()
    equal(unread.session_key, None)
    unread['e'] = 5
    unread.save()
    assert unread.session_key != key
    equal(stored(unread.session_key), {'e': 5})


def cycle_key_takes_along_what_others_saved():
    key, mine, theirs = pair(a=1)
    theirs['theirs'] = 1
    theirs.save()
    mine['mine'] = 1
    mine.cycle_key()
    mine['later'] = 1
    mine.save()
    assert mine.session_key != key
    assert not rows.filter(pk=key).exists()
    equal(stored(mine.session_key), {'a': 1, 'mine': 1, 'theirs': 1, 'later': 1})
    theirs['again'] = 1
    raises(UpdateError, theirs.save)


def cycle_key_after_a_logout_is_djangos():
    """It stores under a new key what it loaded: as with Django's engines, it does not see that the session ended."""
    for kind in (Store, DjangoStore):
        key = written_by(kind, {'a': 1})
        mine, theirs, third = kind(key), kind(key), kind(key)
        for store in (mine, theirs, third):
            list(store.items())
        theirs.flush()
        assert not rows.filter(pk=key).exists()
        for store in (mine, third):
            store.cycle_key()
            equal(stored(store.session_key), {'a': 1})
        assert mine.session_key != third.session_key
        assert not rows.filter(pk=key).exists()


def cycle_key_takes_the_lock_at_last():
    key, mine, theirs = pair(a=1)
    turns = []

    def kept_changing(*_):
        theirs['turn'] = len(turns)
        theirs.save()
        turns.append(1)
        return False

    mine._delete_unchanged = kept_changing
    mine.cycle_key()
    assert turns and not rows.filter(pk=key).exists()
    # The new row has it before the old one is gone: this request may end without another save.
    equal(stored(mine.session_key), {'a': 1, 'turn': len(turns) - 1})


@override_settings(SESSION_MERGE={'f': 'fail', 'n': 'add'})
def cycle_key_meets_the_policy_fail():
    """login() runs in a view, where an UpdateError would be a 500. All that does not conflict comes along."""
    key, mine, theirs = pair(f=1, n=1)
    theirs.update({'f': 2, 'n': 2, 'other': 1})
    theirs.save()
    mine.update({'f': 3, 'n': 2})
    (line,) = logs(mine.cycle_key)
    assert line.startswith('WARNING:merging_sessions:Another request changed a key with the policy "fail"'), line
    equal(stored(mine.session_key), {'f': 3, 'n': 3, 'other': 1})
    equal(dict(mine.items()), stored(mine.session_key))
    assert not rows.filter(pk=key).exists()


def the_sites_own_transaction_is_kept():
    key, mine, theirs = pair(a=1)
    with transaction.atomic():
        equal(stored(key), {'a': 1})
        if connections['default'].vendor != 'sqlite':
            other = threading.Thread(target=lambda: (theirs.update({'theirs': 1}), theirs.save(), connections.close_all()))
            other.start()
            other.join()
        mine['mine'] = 1
        mine.save()
    assert stored(key)['mine'] == 1
    assert connections['default'].vendor == 'sqlite' or stored(key)['theirs'] == 1


def forget_copy(key):
    """The next load reads the row."""
    caches['default'].delete(getattr(Store, 'cache_key_prefix', '') + key)


def a_load_takes_no_lock():
    """With ATOMIC_REQUESTS, it would be held while the view runs. A transaction may also be read-only."""
    key = new(a=1)
    forget_copy(key)
    statements = []

    def note(execute, sql, *rest):
        statements.append(sql)
        return execute(sql, *rest)

    with transaction.atomic():
        if connections['default'].vendor == 'postgresql':
            with connections['default'].cursor() as cursor:
                cursor.execute('SET TRANSACTION READ ONLY')
        with connections['default'].execute_wrapper(note):
            store = opened(key)
        equal(dict(store.items()), {'a': 1})
        assert rows.filter(pk=key).exists()
    assert statements
    equal([sql for sql in statements if not sql.startswith('SELECT') or 'FOR UPDATE' in sql], [])
    # What was read may be old by now.
    equal(caches['default'].get(getattr(Store, 'cache_key_prefix', '') + key), None)


def an_error_of_the_database_is_djangos():
    """Each statement of a save fails once. Django's save raises UpdateError, which its middleware answers with 400."""
    connection = connections['default']

    def fail_at(number):
        turns = []

        def run(execute, sql, *rest):
            if sql.startswith(('SELECT', 'UPDATE')):
                turns.append(sql)
                if len(turns) == number:
                    return execute('SELECT no_such_column', None, *rest[1:])
            return execute(sql, *rest)

        return turns, run

    def save(store, number):
        turns, run = fail_at(number)
        with connection.execute_wrapper(run):
            try:
                store.save()
                return 'saved', len(turns) < number
            except UpdateError:
                return 'failed', len(turns) < number

    for is_atomic in (False, True):
        outcomes, is_past, number = [], False, 0
        while not is_past:
            key, mine, theirs = pair(a=1)
            theirs['theirs'] = 1
            theirs.save()
            mine['mine'] = 1
            number += 1
            with transaction.atomic() if is_atomic else nullcontext():
                outcome, is_past = save(mine, number)
                assert rows.filter(pk=key).exists()  # The site's transaction goes on.
            outcomes.append(outcome)
            equal('mine' in stored(key), outcome == 'saved')
        equal((outcomes[:2], outcomes[-1]), (['failed'] * 2, 'saved'))


class PlainSession(AbstractBaseSession):
    """Each of its fields is among PLAIN_FIELDS."""

    account = models.IntegerField(null=True, db_column='Account of it')
    owner = models.ForeignKey('auth.User', models.CASCADE, null=True, related_name='+')
    changed = models.DateTimeField(auto_now=True)
    ip = models.GenericIPAddressField(null=True)
    is_staff = models.BooleanField(default=True)
    device = models.CharField(max_length=20, default='100 %s')

    class Meta:
        app_label = 'catalog'


class NowField(models.DateTimeField):
    def pre_save(self, model_instance, add):
        return Now()


class SiteSession(AbstractBaseSession):
    """Values that need SQL of their own."""

    account = models.IntegerField(null=True, db_column='Account of it')
    owner = models.ForeignKey('auth.User', models.CASCADE, null=True, related_name='+')
    changed = models.DateTimeField(auto_now=True)
    written = NowField(null=True)
    digest = models.BinaryField(default=b'\xff\x00%s')
    price = models.DecimalField(max_digits=6, decimal_places=2, null=True)
    if hasattr(models, 'GeneratedField'):
        next_account = models.GeneratedField(
            expression=models.F('account') + 1, output_field=models.IntegerField(), db_persist=True
        )

    class Meta:
        app_label = 'catalog'
        db_table = 'session of the site'


def the_columns_of_a_model_of_the_site_are_written():
    from django.contrib.auth.models import User

    owner = User.objects.create_user('grace').pk
    for model in (PlainSession, SiteSession):

        class SessionStore(Store):
            @classmethod
            def get_model_class(cls):
                return model

            def create_model_instance(self, data):
                row = super().create_model_instance(data)
                row.account, row.owner_id = data.get('account'), data.get('owner')
                row.ip = row.price = data.get('other')
                return row

        SessionStore.__qualname__ = 'SessionStore'  # Part of the salt.
        fields = model._meta.local_concrete_fields
        equal({type(field) for field in fields} <= engine.PLAIN_FIELDS, model is PlainSession)
        with connections['default'].schema_editor() as editor:
            editor.create_model(model)
        other = '12.50' if model is SiteSession else '10.0.0.1'
        for is_atomic in (False, True):
            key = written_by(SessionStore, {'account': 1})
            model.objects.filter(pk=key).update(changed=datetime(2001, 1, 1, tzinfo=timezone.utc))
            mine, theirs = SessionStore(key), SessionStore(key)
            theirs['theirs'] = 1
            mine.update({'account': 2, 'owner': owner, 'other': other})
            with transaction.atomic() if is_atomic else nullcontext():
                theirs.save()
                mine.save()
            row = model.objects.get(pk=key)
            data = {'account': 2, 'owner': owner, 'other': other, 'theirs': 1}
            equal(SessionStore().decode(row.session_data), data)
            # What Django writes for the same data.
            djangos = model.objects.get(pk=written_by(SessionStore, data))
            for field in fields:
                is_equal = not field.primary_key and field.name != 'session_data'
                if is_equal and not isinstance(field, models.DateTimeField):
                    equal(getattr(row, field.attname), getattr(djangos, field.attname))
            assert row.changed.year > 2001 and row.expire_date > settings_now()


def written_by(kind, data):
    store = kind()
    store.update(data)
    store.save()
    return store.session_key


def a_failing_statement_gives_no_500_that_django_does_not_give():
    """Each statement of a request fails once, while another request changes the row."""
    connection = connections['default']

    def answer(handler, key, run):
        environ = {
            'REQUEST_METHOD': 'GET',
            'PATH_INFO': '/_test/session',
            'SERVER_NAME': 'localhost',
            'SERVER_PORT': '80',
            'HTTP_COOKIE': '%s=%s' % (settings.SESSION_COOKIE_NAME, key),
            'wsgi.input': BytesIO(),
            'wsgi.url_scheme': 'http',
        }
        statuses = []
        with connection.execute_wrapper(run):
            response = handler(environ, lambda status, headers: statuses.append(status[:3]))
        response.close()
        return statuses[0]

    def answers(kind):
        found = []
        while True:
            key = written_by(kind, {'a': 1})
            others = kind().encode({'a': 1, 'theirs': 1})
            turns = []

            change = 'UPDATE django_session SET session_data = %s WHERE session_key = %s'

            def run(execute, sql, params, many, context):
                if sql.startswith('UPDATE'):
                    execute(change, (others, key), many, context)
                if sql.startswith(('SELECT', 'UPDATE')):
                    turns.append(sql)
                    if len(turns) == len(found) + 1:
                        return execute('SELECT no_such_column', None, many, context)
                return execute(sql, params, many, context)

            found.append(answer(WSGIHandler(), key, run))
            if len(turns) < len(found):
                return found

    found = []
    for name in (django_name, ENGINE):
        with override_settings(SESSION_ENGINE=name, SESSION_SAVE_EVERY_REQUEST=True):
            found.append(answers(importlib.import_module(name).SessionStore))
    djangos, ours = found
    # The statement of the load is the first one. cached_db has none. Each further one is a part of the save.
    loads = ['500'] if '500' in djangos else []
    equal((djangos, ENGINE.endswith('.db')), (loads + ['400', '200'], bool(loads)))
    equal((ours[: len(loads) + 1], ours[-1]), (djangos[:-1], '200'))
    assert set(ours[len(loads) :]) == {'400', '200'}, ours


def the_expiry_is_kept():
    key, mine, theirs = pair(a=1)
    theirs.set_expiry(60)
    theirs.save()
    mine['b'] = 1
    mine.save()
    equal(stored(key)['_session_expiry'], 60)
    assert opened(key).get_expiry_age() == 60
    age = (rows.get(pk=key).expire_date - settings_now()).total_seconds()
    assert 0 < age <= 60, age


def settings_now():
    from django.utils import timezone

    return timezone.now()


@override_settings(SESSION_MERGE={'n': 'add'})
def threads_lose_nothing():
    key = new(n=0)
    failed = []

    def visits(name):
        try:
            for turn in range(15):
                store = Store(key)
                store['n'] = store['n'] + 1
                store['%s-%s' % (name, turn)] = turn
                store.save()
        except Exception as error:
            failed.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=visits, args=(name,)) for name in 'abcd']
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    equal(failed, [])
    data = stored(key)
    equal((data['n'], len(data)), (60, 61))
    equal(dict(Store(key).items()), data)


def after_some_tries_a_save_takes_the_lock():
    key, mine, theirs = pair(a=1)
    mine['mine'] = 1
    swaps = []

    def lost(*_):
        theirs['turn'] = len(swaps)
        theirs.save()
        swaps.append(1)
        return False

    mine._swap = lost
    mine.save()
    equal(len(swaps), engine.TRIES)
    equal(stored(key), {'a': 1, 'mine': 1, 'turn': len(swaps) - 1})
    equal(dict(mine.items()), stored(key))
    mine['mine'] = 2
    rows.filter(pk=key).delete()
    raises(UpdateError, lambda: mine._save_under_lock(mine._loaded, 'default'))
    assert not rows.filter(pk=key).exists()


class OwnSerializer(signing.JSONSerializer):
    """A serializer of the site."""


class OwnModel(Store):
    def create_model_instance(self, data):
        return super().create_model_instance(data)


class OwnFormat(Store):
    def decode(self, session_data):
        return super().decode(session_data)


class OwnAge(Store):
    def get_session_cookie_age(self):
        return settings.SESSION_COOKIE_AGE


class NotUnderTheLock(Store):
    @classmethod
    def get_model_class(cls):
        return super().get_model_class()


for cls in (OwnModel, OwnFormat, OwnAge, NotUnderTheLock):
    cls.__name__ = cls.__qualname__ = 'SessionStore'  # Part of the salt.


def receiver(**_):
    pass


def no_code_of_the_site_runs_under_the_lock():
    """Such a save is repeated without a lock, and is Django's at last."""

    @contextmanager
    def with_receiver(signal):
        signal.connect(receiver, sender=Store.get_model_class())
        try:
            yield
        finally:
            signal.disconnect(receiver, sender=Store.get_model_class())

    def save(cls, runs_code, around=None, **attributes):
        key, _, _ = pair(a=1)
        mine = cls(key)
        mine['mine'] = 1
        taken = []

        def locked(loaded, using):
            taken.append(1)
            return type(mine)._save_under_lock(mine, loaded, using)

        vars(mine).update(attributes, _swap=lambda *_: False, _save_under_lock=locked)
        before, engine.TIMEOUT = engine.TIMEOUT, 0
        try:
            with around or nullcontext():
                if runs_code:
                    (line,) = logs(mine.save)
                    assert line.startswith('WARNING:merging_sessions:Other requests changed a session for 0 s'), line
                else:
                    mine.save()
        finally:
            engine.TIMEOUT = before
        equal(taken, [] if runs_code else [1])
        equal(stored(key), {'a': 1, 'mine': 1})

    save(Store, False)
    save(NotUnderTheLock, False)
    save(Store, True, _policies={'a': longest})
    save(Store, True, serializer=OwnSerializer)
    save(Store, True, with_receiver(pre_save))
    save(Store, True, with_receiver(post_init))
    for cls in (OwnModel, OwnFormat, OwnAge):
        save(cls, True)
    with_field = Store.get_model_class()._meta.get_field('expire_date')
    kind, with_field.__class__ = type(with_field), type('OwnField', (type(with_field),), {})
    try:
        save(Store, True)
    finally:
        with_field.__class__ = kind


def a_save_is_repeated_for_a_bounded_time():
    """Without the lock: at random moments, each pause longer than the one before at most, for five seconds."""
    pauses, tries = [], []

    class Clock:
        @staticmethod
        def monotonic():
            return 100.0 + sum(pauses)

        sleep = pauses.append

    def lost(*_):
        tries.append(1)
        return False

    key, mine, theirs = pair(a=1)
    mine['mine'] = 1
    mine._policies = {'a': longest}
    mine._swap = lost
    time, engine.time = engine.time, Clock
    try:
        (line,) = logs(mine.save)
    finally:
        engine.time = time
    assert line.startswith('WARNING:merging_sessions:Other requests changed a session for 5.0 s;'), line
    assert key not in line
    equal(stored(key), {'a': 1, 'mine': 1})
    assert 5 <= sum(pauses) < 5.05, sum(pauses)
    assert len(tries) - len(pauses) == 1 and len(tries) < 1000, (len(tries), len(pauses))
    bounds = [min(0.002 * 2**turn, 0.05) for turn in range(len(pauses))]
    assert all(0 <= pause <= bound for pause, bound in zip(pauses, bounds)), pauses
    assert len(set(pauses)) > len(pauses) / 2 and max(pauses) > 0.025


def cycle_key_says_what_it_loses():
    """Code of the site does not run under the lock, so others may go on for longer than cycle_key() is repeated."""
    key, mine, theirs = pair(a=1)

    def kept_changing(*_):
        theirs['turn'] = theirs.get('turn', 0) + 1
        theirs.save()
        return False

    mine._delete_unchanged = kept_changing
    mine._policies = {'a': longest}
    (line,) = logs(mine.cycle_key)
    assert line.startswith('WARNING:merging_sessions:Other requests kept changing a session during cycle_key()'), line
    assert not rows.filter(pk=key).exists()
    equal(stored(mine.session_key)['a'], 1)
    assert stored(mine.session_key)['turn'] >= theirs['turn'] - 1


def asynchronous_saves_merge():
    if not hasattr(DjangoStore, 'aload'):
        return  # Before Django 5.1.
    from asgiref.sync import async_to_sync

    async def run():
        first = Store()
        await first.aset('a', 1)
        await first.asave()
        mine, theirs = Store(first.session_key), Store(first.session_key)
        await mine.aget('a')
        await theirs.aget('a')
        await theirs.aset('theirs', 1)
        await theirs.asave()
        await mine.aset('mine', 1)
        await mine.asave()
        old = mine.session_key
        theirs2 = Store(old)
        await theirs2.aset('late', 1)
        await theirs2.asave()
        await mine.acycle_key()
        await mine.asave()
        gone = Store(old)
        equal(await gone.aget('a'), None)
        try:
            await theirs.asave()
            raise AssertionError('UpdateError was not raised')
        except UpdateError:
            pass
        return mine.session_key

    equal(stored(async_to_sync(run)()), {'a': 1, 'mine': 1, 'theirs': 1, 'late': 1})


def the_middleware_answers_as_with_django():
    from django.test import Client

    client, other = Client(), Client()
    client.post('/_test/session', '{"a": 1}', content_type='application/json')
    other.cookies = client.cookies
    key = client.cookies[settings.SESSION_COOKIE_NAME].value
    with override_settings(SESSION_SAVE_EVERY_REQUEST=True):
        response = client.get('/_test/session')
        assert settings.SESSION_COOKIE_NAME in response.cookies
    equal(stored(key), {'a': 1})
    from django.contrib.auth.models import User

    User.objects.create_user('ada', password='secret')
    assert client.login(username='ada', password='secret')
    moved = client.cookies[settings.SESSION_COOKIE_NAME].value
    assert moved != key and not rows.filter(pk=key).exists()
    data = stored(moved)
    assert data['a'] == 1 and '_auth_user_id' in data
    client.logout()
    assert not rows.filter(pk=moved).exists()


for check in (
    rows_are_djangos,
    keys_of_both_are_kept,
    django_saves_are_kept,
    texts_are_compared_by_byte,
    dictionaries_merge_by_leaf,
    an_object_that_the_request_holds_stays,
    policies_apply,
    a_policy_of_the_site_applies,
    a_wrong_setting_says_so,
    a_row_that_cannot_be_read_does_not_empty_the_session,
    a_deleted_session_stays_deleted,
    flush_and_clear_are_djangos,
    cycle_key_takes_along_what_others_saved,
    cycle_key_after_a_logout_is_djangos,
    cycle_key_takes_the_lock_at_last,
    cycle_key_meets_the_policy_fail,
    the_sites_own_transaction_is_kept,
    a_load_takes_no_lock,
    an_error_of_the_database_is_djangos,
    a_failing_statement_gives_no_500_that_django_does_not_give,
    the_columns_of_a_model_of_the_site_are_written,
    the_expiry_is_kept,
    threads_lose_nothing,
    after_some_tries_a_save_takes_the_lock,
    no_code_of_the_site_runs_under_the_lock,
    a_save_is_repeated_for_a_bounded_time,
    cycle_key_says_what_it_loses,
    asynchronous_saves_merge,
    the_middleware_answers_as_with_django,
):
    try:
        check()
    except BaseException:
        print('FAILED:', check.__name__, flush=True)
        raise
    print(check.__name__, flush=True)
