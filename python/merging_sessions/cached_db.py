"""Django's `django.contrib.sessions.backends.cached_db`, with saves that keep what other requests saved since the load."""

from __future__ import annotations

from typing import Any, Dict, Optional

from django.contrib.sessions.backends.base import UpdateError
from django.contrib.sessions.backends.cached_db import SessionStore as DjangoStore
from django.db import connections

from .db import Loaded, logger, one_change
from .db import SessionStore as MergingStore


class SessionStore(DjangoStore, MergingStore):
    """
    The row decides. Unlike Django, which may put data into the cache that another request has replaced or deleted, this
    class checks each write to the cache against the row, and deletes an old copy.
    """

    def load(self) -> Dict[str, Any]:
        self._loaded = None
        return self._remember_load(super().load())

    async def aload(self) -> Dict[str, Any]:
        from asgiref.sync import sync_to_async

        self._loaded = None
        data: Dict[str, Any] = await super().aload()
        await sync_to_async(self._remember_load)(data)
        return data

    def _remember_load(self, data: Dict[str, Any]) -> Dict[str, Any]:
        if self._loaded is not None:
            if connections[self._database()].in_atomic_block:
                # The check would lock the row until the site's transaction ends.
                self._forget(self.session_key)
            else:
                self._forget_unless_stored()
        elif self.session_key is not None:
            # The data came from the cache. The request changes the dictionary in place.
            try:
                self._loaded = Loaded(self.session_key, None, self.serializer().dumps(data))
            except Exception:
                pass  # Another serializer wrote it. The save will fail or succeed as in Django.
        return data

    def save(self, must_create: bool = False) -> None:
        try:
            super().save(must_create)
        except UpdateError:
            self._forget(self.session_key)
            raise
        self._forget_unless_stored()

    async def asave(self, must_create: bool = False) -> None:
        from asgiref.sync import sync_to_async

        try:
            await super().asave(must_create)
        except UpdateError:
            await sync_to_async(self._forget)(self.session_key)
            raise
        await sync_to_async(self._forget_unless_stored)()

    def _forget_unless_stored(self) -> None:
        loaded = self._loaded_now()
        if loaded is None:
            return
        using = self._database()
        try:
            with one_change(using, is_one_statement=True):
                is_stored = self._stored_text(using, loaded.session_key) == loaded.text
        except UpdateError:
            is_stored = False  # It may be stored; Django does not ask, and has answered by now.
        if not is_stored:
            self._forget(loaded.session_key)

    def _forget(self, session_key: Optional[str]) -> None:
        try:
            self._cache.delete(self.cache_key_prefix + (session_key or ''))
        except Exception:
            logger.exception('Error deleting from cache (%s)', self._cache)
