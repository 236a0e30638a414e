"""The settings of LocalLibrary, whose SESSION_ENGINE merges, for the requests of a history."""

from locallibrary.settings import *  # noqa: F403

SESSION_MERGE = {'log': 'union', 'count': 'add'}
MIDDLEWARE = ['merging_site.middleware.RefusingSessionMiddleware']
ROOT_URLCONF = 'merging_site.urls'
