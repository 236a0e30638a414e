"""The settings of LocalLibrary with the session engine that merges, for the requests of a history."""

from locallibrary.settings import *  # noqa: F403

SESSION_ENGINE = 'merging_sessions.db'
SESSION_MERGE = {'log': 'union', 'count': 'add'}
MIDDLEWARE = ['django.contrib.sessions.middleware.SessionMiddleware']
ROOT_URLCONF = 'merging_site.urls'
