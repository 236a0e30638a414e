"""Prints schema.ts: what a real Django's `migrate` makes of LocalLibrary on SQLite.

    PATH_TO_A_DJANGO/bin/python src/service/demo/generate_schema.py > src/service/demo/schema.ts

The Django should be the newest; 5.2 and 6.1 differ only in the numbers of some content types.
"""

import os
import re
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import django

SITE = Path(__file__).resolve().parents[3] / 'test' / 'django-site'

HEADER = '''\
/**
 * What `manage.py migrate` of Django {version} makes of LocalLibrary on SQLite: a statement a line.
 * Made by generate_schema.py; not to be edited.
 */
export const SCHEMA = `'''

# The form in which Django stores "now".
NOW = "strftime('%Y-%m-%d %H:%M:%f000', 'now')"


def migrated(filename):
    environment = dict(os.environ, SECRET_KEY='unused', DATABASE_URL='sqlite:///' + filename)
    subprocess.run([sys.executable, 'manage.py', 'migrate', '-v0'], cwd=SITE, env=environment, check=True)
    return sqlite3.connect(filename)


def statements(connection):
    for statement in connection.iterdump():
        if re.match(r'CREATE|INSERT INTO (?!"sqlite_)', statement):
            yield re.sub(r"'\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[.\d]*'", NOW, statement)


with tempfile.TemporaryDirectory() as folder:
    found = statements(migrated(os.path.join(folder, 'library.sqlite3')))
    # A row needs every table that it refers to: all of them come first.
    text = '\n'.join(sorted(found, key=lambda statement: statement.startswith('INSERT')))
assert not re.search(r'[`\\$?]', text), 'a character that a template literal or Knex would take for its own'
print(HEADER.format(version=django.get_version()) + text + '\n`')
