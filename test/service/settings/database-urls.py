"""Prints database-urls.json: what the real dj-database-url makes of each URL, null where it raises, and where
the real django-environ finds a socket.

    PATH_TO_A_PYTHON_WITH_BOTH/bin/python test/service/settings/database-urls.py > test/service/settings/database-urls.json
"""

import json
from importlib.metadata import version

import dj_database_url
import environ

URLS = [
    'mysql://user:password@host:3306/library',
    'mysql2://user@host/library',
    'MYSQL://user@host/library',
    'postgres://user:password@host:5432/library',
    'postgresql://user@host/library',
    'pgsql://user@host/library',
    'mysql://user@Host.Example.ORG/library',
    'mysql://host/library',
    'mysql:///library',
    'mysql://host/',
    'mysql://host',
    'mysql://host:/library',
    'mysql://host:0/library',
    'mysql://host:65535/library',
    'mysql://host:65536/library',
    'mysql://host:x/library',
    'mysql://:password@host/library',
    'postgres://user:password@/library',
    'postgres://user:@host/library',
    'mysql://user:p%40ss%2Fw%23rd%3F%25@host/library',
    'mysql://us%40er:pass@host/library',
    'mysql://user:a:b@host/library',
    'mysql://user:a@b@host/library',
    'mysql://user:a+b%20c@host/library',
    'mysql://user:100%@host/library',
    'mysql://user:%zz%4@host/library',
    'mysql://user:p%C3%A4ss@host/library',
    'mysql://user:päss@host/library',
    'mysql://user:%ff@host/library',
    'mysql://user:p#ss@host/library',
    'mysql://user:p/ss@host/library',
    'mysql://user:p?ss@host/library',
    'postgres://[::1]:5432/library',
    'postgres://user:password@[2001:DB8::1]/library',
    'mysql://user:password@%2Frun%2Fmysqld%2Fmysqld.sock/library',
    'mysql://%2Ftmp%2FMySQL.sock/library',
    'postgres://%2Fvar%2Frun%2Fpostgresql/library',
    'postgres://user@%2Fvar%2Frun%2Fpostgresql:5433/library',
    'mysql://host/lib%2Frary',
    'mysql://host/a/b',
    'mysql://host/library#fragment',
    'mysql://host/library?charset=latin1',
    'mysql://host/library?charset=utf8mb4&unix_socket=%2Frun%2Fmysqld.sock',
    'mysql://host/library?a=x+y%20z&b=&c&d=%zz',
    'mysql://host/library?a=x;b=y',
    'postgres://host/library?sslmode=verify-full&sslrootcert=/etc/ca.pem',
    'postgres://host/library?sslmode=prefer&sslmode=require',
    'postgres://host/library?application_name=catalogue',
    'sqlite:///db.sqlite3',
    'sqlite:///var/my%20library.sqlite3',
    'sqlite:////srv/library/db.sqlite3',
    'sqlite:///:memory:',
    'sqlite://:memory:',
    'sqlite://',
    'sqlite://db.sqlite3',
    'sqlite:///db.sqlite3?timeout=20',
    'mysqlgis://user@host/library',
    'mysql-connector://user@host/library',
    'postgis://user@host/library',
    'timescale://user@host/library',
    'timescalegis://user@host/library',
    'spatialite:///library.sqlite3',
    'mysql://host/library?ssl-mode=REQUIRED',
    'postgres://user:password@//cloudsql/project:region:one/library',
    'postgres://user:password@%2Fcloudsql%2Fproject%3Aregion%3Aone/library',
    'postgres://user:password@%2Fcloudsql%2Fproject:region:one/library',
    'postgres://user:password@/library?host=/cloudsql/project:region:one',
    'no url',
    'library',
]

SOCKETS = [
    'postgres://user:password@//cloudsql/project:region:one/library',
    'postgres://user:password@//var/run/postgresql/library',
    'postgres:////var/run/postgresql/library',
    'psql:////cloudsql/project:region:one/library',
    'postgis://user@//cloudsql/project:region:one/library',
    'mysql://user:password@//cloudsql/project:region:one/library',
    'mysql2:////cloudsql/project:region:one/library',
]


def socket(url):
    config = environ.Env.db_url_config(url)
    return {'url': url, 'host': config['HOST'], 'name': config['NAME'], 'user': config['USER']}


def parsed(url):
    try:
        config = dj_database_url.parse(url)
    except ValueError:
        return None
    return {
        'engine': config['ENGINE'].rsplit('.', 1)[1],
        'user': config.get('USER', ''),
        'password': config.get('PASSWORD', ''),
        'host': config.get('HOST', ''),
        'port': config.get('PORT') or None,
        'name': config['NAME'],
        'options': {
            name: str(value[-1] if isinstance(value, list) else value)
            for name, value in config.get('OPTIONS', {}).items()
        },
    }


print(
    json.dumps(
        {
            'dj_database_url': version('dj-database-url'),
            'django_environ': version('django-environ'),
            'sockets': [socket(url) for url in SOCKETS],
            'urls': [{'url': url, 'parsed': parsed(url)} for url in URLS],
        },
        indent=2,
        ensure_ascii=False,
    )
)
