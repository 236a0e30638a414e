"""Custom users: which one there is, AUTH_USER_MODEL says. Both would clash over the names of their relations."""

import uuid

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import AbstractUser, PermissionsMixin
from django.db import models

if settings.AUTH_USER_MODEL == 'accounts.Member':

    class Member(AbstractBaseUser, PermissionsMixin):
        """Known by address, without a name; its key is a UUID in a column of another name."""

        member_id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
        email = models.EmailField(unique=True)

        objects = BaseUserManager()

        USERNAME_FIELD = 'email'


if settings.AUTH_USER_MODEL == 'accounts.Account':

    class Account(AbstractUser):
        """Django's user with a bigint for a key, in a table of another name."""

        id = models.BigAutoField(primary_key=True)

        class Meta:
            db_table = 'People of ours'
