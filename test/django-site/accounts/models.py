"""Custom users: which one there is, AUTH_USER_MODEL says. Two would clash over the names of their relations."""

import uuid

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.hashers import check_password, make_password
from django.contrib.auth.models import AbstractUser, PermissionsMixin
from django.db import models
from django.utils.crypto import salted_hmac

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


if settings.AUTH_USER_MODEL == 'accounts.Renamed':

    class Renamed(AbstractBaseUser, PermissionsMixin):
        """Every field has a column of another name."""

        username = models.CharField(max_length=150, unique=True, db_column='login')
        password = models.CharField(max_length=128, db_column='pw')
        last_login = models.DateTimeField(blank=True, null=True, db_column='seen')
        is_active = models.BooleanField(default=True, db_column='enabled')
        is_staff = models.BooleanField(default=False, db_column='crew')
        is_superuser = models.BooleanField(default=False, db_column='root')
        first_name = models.CharField(max_length=150, blank=True, db_column='given')

        objects = BaseUserManager()

        USERNAME_FIELD = 'username'


if settings.AUTH_USER_MODEL == 'accounts.Computed':

    class Computed(AbstractBaseUser):
        """Whether a user is active or staff stands in no column of that name."""

        username = models.CharField(max_length=150, unique=True)
        level = models.IntegerField(default=1)
        is_admin = models.BooleanField(default=False)

        objects = BaseUserManager()

        USERNAME_FIELD = 'username'

        @property
        def is_active(self):
            return self.level == 1

        @property
        def is_staff(self):
            return self.is_admin


if settings.AUTH_USER_MODEL == 'accounts.Stamped':

    class Stamped(AbstractUser):
        """Sessions end with a stamp, and not with the password."""

        stamp = models.CharField(max_length=32, default='first')

        def get_session_auth_hash(self):
            return salted_hmac('stamps', self.stamp).hexdigest()

        def get_session_auth_fallback_hash(self):
            return iter(())


if settings.AUTH_USER_MODEL == 'accounts.Bare':

    class Bare(models.Model):
        """What Django asks of a user, and nothing of AbstractBaseUser: no get_session_auth_hash."""

        username = models.CharField(max_length=150, unique=True)
        password = models.CharField(max_length=128)
        is_active = models.BooleanField(default=True)

        objects = BaseUserManager()

        USERNAME_FIELD = 'username'
        REQUIRED_FIELDS = []
        is_anonymous = False
        is_authenticated = True

        def get_username(self):
            return self.username

        def set_password(self, password):
            self.password = make_password(password)

        def check_password(self, password):
            return check_password(password, self.password)


if settings.AUTH_USER_MODEL == 'accounts.Passwordless':

    class Passwordless(AbstractBaseUser):
        """Logs in elsewhere; Django makes the hash of its sessions of the text None."""

        username = models.CharField(max_length=150, unique=True)
        password = None

        objects = BaseUserManager()

        USERNAME_FIELD = 'username'
