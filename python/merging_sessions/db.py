"""Django's `django.contrib.sessions.backends.db`, with saves that keep what other requests saved since the load."""

from __future__ import annotations

import asyncio
import logging
import random
import time
import traceback
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Tuple, cast

from django.contrib.sessions.backends.base import UpdateError
from django.contrib.sessions.backends.db import SessionStore as DjangoStore
from django.core.signing import JSONSerializer
from django.db import DatabaseError, IntegrityError, connections, models, router, transaction
from django.db.models.signals import post_init, post_save, pre_init, pre_save

from .merge import Policy, SessionConflict, merge, same, without_fail
from .policies import check_setting, read_policies

logger = logging.getLogger('merging_sessions')

# Conflicts of one save that are answered without a lock.
TRIES = 5
# Seconds for which a save is tried where the lock cannot be used.
TIMEOUT = 5.0
# Seconds: the upper bounds of the random pauses between two tries.
FIRST_PAUSE = 0.002
LONGEST_PAUSE = 0.05

# What a subclass may override and _save_under_lock() calls.
SAVING_METHODS = (
    'create_model_instance',
    'encode',
    'decode',
    'get',
    'get_expiry_age',
    'get_expiry_date',
    'get_session_cookie_age',  # Django 3.0 and later.
)

# Fields whose values need no SQL but %s. The fields of Django's own model, and common ones of a model of the site.
PLAIN_FIELDS = frozenset(
    (
        models.BooleanField,
        models.CharField,
        models.DateTimeField,
        models.ForeignKey,
        models.GenericIPAddressField,
        models.IntegerField,
        models.TextField,
    )
)

# Equality of bytes. The collation of a column may ignore case, and signatures may differ in nothing but case.
EQUAL_BYTES = {
    'mysql': '%s = CAST(%%s AS BINARY)',
    'postgresql': '%s = %%s COLLATE "C"',
    'sqlite': '%s = %%s COLLATE BINARY',
}

check_setting()  # Django's middleware imports this module at the start of the site.


class Loaded(NamedTuple):
    """What a session held when it was loaded or last saved."""

    session_key: str
    # The text of the row. None: the data came from a cache.
    text: Optional[str]
    # The serialized data, where it is not that of the text. Empty: it is.
    data: bytes


class SessionStore(DjangoStore):
    """
    A save is a compare-and-swap: the UPDATE takes effect only if the row still holds the text that was loaded.
    Otherwise the row is read again, and the changes of this request are applied to it.
    The class has the name of Django's class, which is part of the salt of signatures (SessionBase.key_salt).
    """

    serializer: Any
    _loaded: Optional[Loaded] = None
    _written: Optional[str] = None

    def __init__(self, session_key: Optional[str] = None) -> None:
        super().__init__(session_key)
        self._policies = read_policies()

    def _get_session_from_db(self) -> Any:
        return self._remember_row(super()._get_session_from_db())

    async def _aget_session_from_db(self) -> Any:
        return self._remember_row(await super()._aget_session_from_db())

    def _remember_row(self, row: Any) -> Any:
        self._loaded = None if row is None else Loaded(row.session_key, row.session_data, b'')
        return row

    def create_model_instance(self, data: Dict[str, Any]) -> Any:
        row = super().create_model_instance(data)
        self._written = row.session_data
        return row

    def save(self, must_create: bool = False) -> None:
        for pause in self._saving(must_create):
            time.sleep(pause)

    async def asave(self, must_create: bool = False) -> None:
        from asgiref.sync import sync_to_async  # Django 2.2 does not have it.

        saving = self._saving(must_create)
        while True:
            pause = await sync_to_async(next)(saving, None)
            if pause is None:
                return
            await asyncio.sleep(pause)

    def _saving(self, must_create: bool) -> Iterator[float]:
        """Saves the session. Each value is a number of seconds to wait before the next try."""
        if must_create or self.session_key is None:
            self._save_as_django(must_create)
            return
        self._get_session()
        loaded = self._loaded_now()
        using = self._database()
        if loaded is None or not self._can_compare(using):
            # Nothing was loaded when the session was cleared unread. Django then replaces the row, too.
            self._save_as_django(must_create)
            return
        # Data from a cache is merged with the row first.
        row: Any = None if loaded.text is None else self._new_row(using)
        longest, tries, deadline = FIRST_PAUSE, 0, time.monotonic() + TIMEOUT
        while loaded.text is None or not self._swap(row, loaded.text, using):
            if loaded.text is not None:
                tries += 1
                if tries >= TRIES and not self._runs_code_of_the_site():
                    row = self._save_under_lock(loaded, using)
                    break
                if tries >= TRIES and time.monotonic() >= deadline:
                    logger.warning(
                        'Other requests changed a session for %s s; it is saved as Django does, the last write wins',
                        TIMEOUT,
                    )
                    self._save_as_django(must_create)
                    return
                yield random.uniform(0, longest)
                longest = min(2 * longest, LONGEST_PAUSE)
            with one_change(using, is_one_statement=True):
                text = self._stored_text(using, loaded.session_key)
            row, loaded = self._merged_row(loaded, text, using)
        self._loaded = Loaded(row.session_key, row.session_data, b'')
        post_save.send(sender=self.model, instance=row, created=False, update_fields=None, raw=False, using=using)

    def _save_as_django(self, must_create: bool) -> None:
        self._written = None
        super().save(must_create)
        written = self._written
        self._loaded = None if written is None else Loaded(cast(str, self.session_key), written, b'')

    def _save_under_lock(self, loaded: Loaded, using: str) -> Any:
        """No code of the site runs under the lock. Returns the row."""
        with one_change(using):
            text = self._stored_text(using, loaded.session_key, lock=True)
            row, _ = self._merged_row(loaded, text, using)
            self._rows_of(row.pk, using).update(**self._values(row, using))
        return row

    def _swap(self, row: Any, text: str, using: str) -> bool:
        """Whether the row still held this text. It then holds the new one."""
        # Alone, one statement needs no transaction. Without BEGIN and COMMIT it holds its lock for a shorter time.
        with one_change(using, is_one_statement=True):
            return self._update(row, text, using)

    def _update(self, row: Any, text: str, using: str) -> bool:
        """The statement of SQLUpdateCompiler.as_sql, which takes more CPU time than the statement itself."""
        values, statements = self._values(row, using), statements_of(self.model, using)
        if not statements.is_plain or any(hasattr(value, 'resolve_expression') for value in values.values()):
            return bool(self._rows_with(row.pk, text, using).update(**values))
        connection = connections[using]
        params = [field.get_db_prep_save(values[field.attname], connection) for field in statements.fields]
        with connection.cursor() as cursor:
            cursor.execute(statements.update, [*params, row.pk, text])
            return bool(cursor.rowcount)

    def _new_row(self, using: str) -> Any:
        row = self.create_model_instance(self._session_cache)
        pre_save.send(sender=self.model, instance=row, raw=False, using=using, update_fields=None)
        return row

    def _merged_row(self, loaded: Loaded, text: Optional[str], using: str) -> Tuple[Any, Loaded]:
        """
        The row to save, and what it replaces. `text`: what is stored now. None: the session was deleted, and it stays
        deleted.
        """
        if text is None:
            raise UpdateError
        _, merged = self._merge(loaded, text, self._policies)
        return self._new_row(using), merged

    def _merge(self, loaded: Loaded, theirs_text: str, policies: Mapping[str, Policy]) -> Tuple[bool, Loaded]:
        """
        Applies to the data of this request what others saved. Returns whether that changed the data, and what the next
        merge begins with.
        """
        merged_with = Loaded(loaded.session_key, theirs_text, b'')
        try:
            theirs = self.decode(theirs_text)
            if theirs and loaded.data and self.serializer().dumps(theirs) == loaded.data:
                return False, merged_with  # The same result as below, in less time: most copies in a cache are new.
            before = self.serializer().loads(loaded.data) if loaded.data else self.decode(cast(str, loaded.text))
            if not theirs and not self._can_read(theirs_text):
                logger.error(
                    'Another process wrote a session that this process cannot read (another SECRET_KEY, serializer or '
                    'version of Django); it is saved as Django does, the last write wins'
                )
                return False, merged_with._replace(data=self.serializer().dumps(before))
            if same(before, theirs):
                return False, merged_with
            # The data as it comes from the database: a tuple is a list there.
            mine = self.decode(self.encode(self._session_cache))
            merged = merge(before, mine, theirs, policies)
            self.encode(merged)
        except SessionConflict:
            raise
        except Exception as error:
            # For instance a function of SESSION_MERGE. Django would have saved. The message may hold session data.
            logger.error(
                'A session could not be merged; it is saved as Django does, the last write wins: %s in\n%s',
                type(error).__name__,
                traceback.format_tb(error.__traceback__)[-1],
            )
            return False, merged_with
        data = self._session_cache
        if data.keys() != mine.keys():  # Some keys are not strings.
            data.clear()
        for key in data.keys() - merged.keys():
            del data[key]
        for key, value in merged.items():
            # A list or dictionary without a change stays the object that the request may still hold.
            if key not in data or not same(value, mine.get(key)):
                data[key] = value
        return True, merged_with

    def _can_read(self, text: str) -> bool:
        """Whether decode() gets a result of the serializer. Without one it returns an empty session."""
        results: List[Any] = []
        serializer = self.serializer

        class Witness:
            def loads(self, data: bytes) -> Any:
                results.append(serializer().loads(data))
                return results[0]

        self.serializer = Witness
        try:
            self.decode(text)
        finally:
            self.serializer = serializer
        return bool(results)

    def cycle_key(self) -> None:
        """Django's `cycle_key`. What others saved under the old key since the load comes along."""
        self._get_session()
        loaded, old_key, using = self._loaded_now(), self.session_key, self._database()
        self.create()
        if not old_key:
            return
        if loaded is not None and self._can_compare(using):
            self._move(loaded, using)
        self.delete(old_key)

    async def acycle_key(self) -> None:
        """See cycle_key()."""
        from asgiref.sync import sync_to_async

        await sync_to_async(self.cycle_key)()

    def _move(self, loaded: Loaded, using: str) -> None:
        """Deletes the old row once the new row has all that the old row holds."""
        for _ in range(TRIES):
            if loaded.text is not None and self._delete_unchanged(loaded, using):
                return
            text = self._stored_text(using, loaded.session_key)
            if text is None:
                return
            loaded = self._take_along(loaded, text)
        if self._runs_code_of_the_site():
            logger.warning('Other requests kept changing a session during cycle_key(); their last change is lost')
            return
        with transaction.atomic(using=using):
            text = self._stored_text(using, loaded.session_key, lock=True)
            if text is not None:
                self._take_along(loaded, text)
                self.delete(loaded.session_key)

    def _take_along(self, loaded: Loaded, text: str) -> Loaded:
        """Puts what others saved under the old key into the new row. `text`: what the old row holds."""
        try:
            has_changed, merged = self._merge(loaded, text, self._policies)
        except SessionConflict:
            # An UpdateError in a view, where login() runs, would be a 500.
            logger.warning('Another request changed a key with the policy "fail" before cycle_key(); its change is lost')
            has_changed, merged = self._merge(loaded, text, without_fail(self._policies))
        if has_changed:
            self.save()
        return merged

    def _delete_unchanged(self, loaded: Loaded, using: str) -> bool:
        with transaction.atomic(using=using):
            return bool(self._rows_with(loaded.session_key, cast(str, loaded.text), using).delete()[0])

    def _database(self) -> str:
        return cast(str, router.db_for_write(self.model))

    def _can_compare(self, using: str) -> bool:
        # A model with a `save` of its own is saved by it. The row of a model with a parent is in two tables.
        is_plain = self.model.save is models.Model.save and not self.model._meta.parents
        return is_plain and connections[using].vendor in EQUAL_BYTES

    def _runs_code_of_the_site(self) -> bool:
        """Whether _save_under_lock() may run code of the site."""
        code = [self.model.__init__, *map(type, self.model._meta.local_concrete_fields)]
        code += [getattr(type(self), name) for name in SAVING_METHODS if hasattr(self, name)]
        signals = (pre_init, post_init, pre_save)
        return (
            any(map(callable, self._policies.values()))
            or self.serializer is not JSONSerializer  # A pickle may make objects of the site.
            or any(each.__module__.split('.')[0] not in ('django', 'merging_sessions') for each in code)
            or any(signal.has_listeners(self.model) for signal in signals)
        )

    def _loaded_now(self) -> Optional[Loaded]:
        loaded = self._loaded
        return loaded if loaded is not None and loaded.session_key == self.session_key else None

    def _values(self, row: Any, using: str) -> Dict[str, Any]:
        fields = statements_of(self.model, using).fields
        return {field.attname: field.pre_save(row, False) for field in fields}

    def _rows_of(self, session_key: str, using: str) -> Any:
        return self.model._base_manager.using(using).filter(pk=session_key)

    def _rows_with(self, session_key: str, text: str, using: str) -> Any:
        where = [statements_of(self.model, using).equal_bytes]
        return self._rows_of(session_key, using).extra(where=where, params=[text])

    def _stored_text(self, using: str, session_key: str, lock: bool = False) -> Optional[str]:
        """The text that the row holds now. None: the session was deleted."""
        connection = connections[using]
        sql = statements_of(self.model, using).select
        if connection.features.has_select_for_update:
            # In the site's own transaction with REPEATABLE READ, MySQL would otherwise return the row of its beginning.
            # That transaction holds the lock until its end, as after any save.
            if connection.in_atomic_block:
                sql += ' ' + connection.ops.for_update_sql()
        elif lock:
            # SQLite: the transaction has to begin as a writer (BEGIN IMMEDIATE). A reader would fail at its first write.
            self._rows_of(session_key, using).update(session_key=session_key)
        with connection.cursor() as cursor:
            cursor.execute(sql, [session_key])
            row = cursor.fetchone()
        return None if row is None else cast(str, row[0])


class Statements(NamedTuple):
    """SQL for the rows of a model."""

    # The parameter is the key.
    select: str
    # The parameters are the values of the fields, the key, and the text that the row has to hold.
    update: str
    # Whether the ORM would make the same UPDATE.
    is_plain: bool
    # The fields that Model._save_table updates.
    fields: Tuple[Any, ...]
    # The condition that the row holds a text.
    equal_bytes: str


@lru_cache(maxsize=64)
def statements_of(model: Any, using: str) -> Statements:
    """Made once: the names of a model and the vendor of a database do not change."""
    meta = model._meta
    fields = [
        field
        for field in meta.local_concrete_fields
        if not field.primary_key and not getattr(field, 'generated', False)
    ]

    def quoted(name: str) -> str:
        return str(connections[using].ops.quote_name(name)).replace('%', '%%')

    table, key, text = map(quoted, (meta.db_table, meta.pk.column, meta.get_field('session_data').column))
    equal_bytes = EQUAL_BYTES[connections[using].vendor] % (table + '.' + text)
    values = ', '.join(quoted(field.column) + ' = %s' for field in fields)
    return Statements(
        select='SELECT %s FROM %s WHERE %s = %%s' % (text, table, key),
        update='UPDATE %s SET %s WHERE %s = %%s AND %s' % (table, values, key, equal_bytes),
        is_plain=all(type(field) in PLAIN_FIELDS for field in fields) and type(model._base_manager) is models.Manager,
        fields=tuple(fields),
        equal_bytes=equal_bytes,
    )


@contextmanager
def one_change(using: str, is_one_statement: bool = False) -> Iterator[None]:
    """One transaction, or one statement. Its errors are those of Django's `save`."""
    try:
        if is_one_statement and connections[using].get_autocommit():
            yield
        else:
            with transaction.atomic(using=using):
                yield
    except IntegrityError:
        raise
    except DatabaseError as error:
        raise UpdateError from error
