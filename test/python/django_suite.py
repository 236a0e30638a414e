"""
Runs Django's own tests/sessions_tests: `django_suite.py FOLDER DATABASE_URL [ENGINES]`.

FOLDER is the folder `tests` of the very Django that runs it. ENGINES, e.g. `merging_sessions`, is the package whose
`db` and `cached_db` stand in for Django's in the tests. Prints one JSON object: the modules of the engines that the tests
use, and the outcome of each test by its id.
"""

import json
import os
import shutil
import sys
import tempfile
import unittest

answer, sys.stdout = sys.stdout, sys.stderr
folder, url, engines = (sys.argv[1:] + ['django.contrib.sessions.backends'])[:3]
sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'django-site'))
os.environ.update(SECRET_KEY='unused')
from locallibrary.settings import database  # noqa: E402

del sys.path[0]  # The site has a module `cache`, as the tests do.

place = tempfile.mkdtemp()
shutil.copytree(os.path.join(folder, 'sessions_tests'), os.path.join(place, 'sessions_tests'))
sys.path[:0] = [place, folder]
for name in ('tests.py', 'models.py'):
    path = os.path.join(place, 'sessions_tests', name)
    with open(path) as file:
        text = file.read()
    for engine in ('db', 'cached_db'):
        for end in (' import', '"', "'"):
            text = text.replace('django.contrib.sessions.backends.' + engine + end, engines + '.' + engine + end)
    with open(path, 'w') as file:
        file.write(text)

import django  # noqa: E402
from django.conf import settings  # noqa: E402

# The settings of tests/runtests.py and tests/test_sqlite.py that these tests need.
apps = ['django.contrib.contenttypes', 'django.contrib.auth', 'django.contrib.sites', 'django.contrib.sessions']
settings.configure(
    SECRET_KEY='django_tests_secret_key',
    DATABASES={'default': database(url)},
    DEFAULT_AUTO_FIELD='django.db.models.AutoField',
    INSTALLED_APPS=apps + ['django.contrib.messages', 'sessions_tests'],
    MIGRATION_MODULES={'auth': None, 'contenttypes': None, 'sessions': None, 'sites': None},
    MIDDLEWARE=['django.contrib.sessions.middleware.SessionMiddleware', 'django.middleware.common.CommonMiddleware'],
    SITE_ID=1,
    USE_TZ=False,
)
django.setup()

from django.test.runner import DiscoverRunner  # noqa: E402


class Outcomes(unittest.TextTestResult):
    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.outcomes = {}

    def startTest(self, test):
        super().startTest(test)
        self.outcomes[test.id()] = 'passed'

    def addSubTest(self, test, subtest, error):
        super().addSubTest(test, subtest, error)
        if error is not None:
            self.outcomes[test.id()] = 'failed'

    def addFailure(self, test, error):
        super().addFailure(test, error)
        self.outcomes[test.id()] = 'failed'

    def addError(self, test, error):
        super().addError(test, error)
        self.outcomes[test.id()] = 'failed'

    def addUnexpectedSuccess(self, test):
        super().addUnexpectedSuccess(test)
        self.outcomes[test.id()] = 'failed'

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.outcomes[test.id()] = 'skipped'


class Runner(DiscoverRunner):
    def get_resultclass(self):
        return Outcomes

    def suite_result(self, suite, result, **options):
        from sessions_tests.tests import CacheDBSession, CustomDatabaseSession, DatabaseSession

        used = [DatabaseSession.__module__, CustomDatabaseSession.__base__.__module__, CacheDBSession.__module__]
        print(json.dumps({'engines': used, 'outcomes': result.outcomes}), file=answer)
        return super().suite_result(suite, result, **options)


failures = Runner(verbosity=0, interactive=False).run_tests(['sessions_tests'])
shutil.rmtree(place)
