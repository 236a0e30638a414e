"""The settings of LocalLibrary, whose SESSION_ENGINE merges, for the requests of a history."""

from datetime import timedelta
from os import environ

from locallibrary.settings import *  # noqa: F403

from django.utils import timezone

SESSION_MERGE = {'log': 'union', 'count': 'add'}
MIDDLEWARE = ['merging_site.middleware.RefusingSessionMiddleware']
ROOT_URLCONF = 'merging_site.urls'

right_now = timezone.now


def wrong_now():
    """The time of this site. A fault writes by how many milliseconds it is wrong, for all workers."""
    try:
        with open(environ['SESSION_CLOCK_FILE']) as file:
            return right_now() + timedelta(milliseconds=int(file.read() or 0))
    except FileNotFoundError:
        return right_now()


timezone.now = wrong_now
