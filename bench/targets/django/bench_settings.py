"""LocalLibrary's settings with database connections that are kept, as a site that wants to be fast has them."""

from locallibrary.settings import *  # noqa: F403

DATABASES['default']['CONN_MAX_AGE'] = None  # noqa: F405
