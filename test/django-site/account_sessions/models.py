"""A site's own sessions, as Django's documentation extends them ("Extending database-backed session engines")."""

from django.contrib.sessions.base_session import AbstractBaseSession
from django.db import models


class AccountSession(AbstractBaseSession):
    account_id = models.IntegerField(null=True, db_index=True)
    note = models.CharField(max_length=20, null=True)

    class Meta:
        db_table = 'library_session'

    @classmethod
    def get_session_store_class(cls):
        from .store import AccountStore

        return AccountStore
