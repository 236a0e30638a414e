#!/usr/bin/env python3
"""Pickles of plain data by real Pythons, in each protocol: writes pickles.json beside this file.

    python3 test/vectors/pickles.py

Each Python is that of a Django environment of the tests (.cache/django/VERSION), whose versions the file records. A
case is pickled as {'value': value}. `json` is what json.dumps prints where JSON holds the value exactly, else null;
`repr` is Python's. Identical pickles of several Pythons are kept once.
"""
import base64
import datetime
import decimal
import json
import os
import pickle
import subprocess
import sys
import uuid

HERE = os.path.dirname(os.path.abspath(__file__))
CACHE = os.path.join(HERE, '..', '..', '.cache', 'django')
ENVIRONMENTS = ['2.2', '4.2', '6.1']


def plain_cases():
    big = 10 ** 4299
    yield 'None', None
    yield 'True', True
    yield 'False', False
    for integer in [0, 1, -1, 255, 256, 65535, 65536, 2 ** 31 - 1, 2 ** 31, -2 ** 31, -2 ** 31 - 1, 2 ** 53 - 1, 2 ** 53,
                    2 ** 63, -2 ** 63, 10 ** 100, -10 ** 100, -128, -129, 2 ** 2040 - 1, -2 ** 2040, big, -big]:
        yield 'int %s' % (integer if abs(integer) < 10 ** 30 else hash(integer)), integer
    for number in [1.0, 0.0, -0.0, 1e16, 1e-7, 3.14, 1e308, 5e-324, float('inf'), -float('inf')]:
        yield 'float %r' % number, number
    yield 'nan', float('nan')
    for name, text in [('empty', ''), ('korean', '\ud64d\uae38\ub3d9'), ('latin-1', 'Zo\xeb \x80\xff'), ('emoji', '\U0001f600'),
                       ('high half', 'a\ud83d'), ('low half', '\ude00b'), ('halves apart', '\ude00\ud83d'),
                       ('escapes', '\\u0041 \\ \n\r\x1a\x00"\'\x7f'), ('replacement', '\ufffd\ufeff\uffff'), ('long', 'x' * 300),
                       ('looks pickled', '\x00pickle:int:KAEu')]:
        yield 'str %s' % name, text
    yield 'list', []
    yield 'list nested', [1, 2.0, 'three', [None, [True]], {}]
    yield 'list of 1001', list(range(1001))
    yield 'dict', {}
    yield 'dict nested', {'a': {'b': [1, {'c': ''}]}, '10': 1, '2': 2, '__proto__': {'x': 1}}
    shared = ['shared']
    yield 'shared', [shared, shared, {'a': shared}]


def other_cases(protocol):
    yield 'str of two halves', '\ud83d\ude00'
    if protocol >= 2:  # as text, Python itself refuses to print more digits
        yield 'int of 4301 digits', 10 ** 4300
        yield 'int huge', -(1 << 100000)
    for name, value in [('empty', b''), ('all', bytes(range(256))), ('long', b'\xff\n' * 200)]:
        yield 'bytes %s' % name, value
        yield 'bytearray %s' % name, bytearray(value)
    for length in range(5):
        yield 'tuple %d' % length, tuple(range(length))
    yield 'tuple nested', [((1, 'a'), [(None,)])]
    yield 'dict of other keys', {1: 'int', 'a': 'str', (1, 'b'): 'tuple', None: 'None', 1.5: 'float', b'c': 'bytes', frozenset([2]): 'frozenset'}
    yield 'set empty', set()
    yield 'set', {(1, 'a')}
    yield 'frozenset empty', frozenset()
    yield 'frozenset', frozenset(['a'])
    utc = datetime.timezone.utc
    seoul = datetime.timezone(datetime.timedelta(hours=9), 'KST')
    yield 'datetime', datetime.datetime(2023, 11, 14, 22, 13, 20, 123456)
    yield 'datetime min', datetime.datetime.min
    yield 'datetime max', datetime.datetime.max
    yield 'datetime utc', datetime.datetime(2023, 11, 14, 22, 13, 20, tzinfo=utc)
    yield 'datetime offset', datetime.datetime(2023, 11, 14, 22, 13, 20, 7, tzinfo=seoul)
    yield 'datetime odd offset', datetime.datetime(2023, 11, 14, tzinfo=datetime.timezone(-datetime.timedelta(seconds=1, microseconds=5)))
    yield 'date', datetime.date(2023, 11, 14)
    yield 'time', datetime.time(22, 13, 20, 999999)
    yield 'time utc', datetime.time(22, 13, tzinfo=utc)
    if protocol >= 4:  # lower ones have no room for it
        yield 'datetime fold', datetime.datetime(2023, 10, 29, 2, 30, fold=1)
        yield 'time fold', datetime.time(2, 30, fold=1)
    for delta in [datetime.timedelta(), datetime.timedelta(-1, 5, 7), datetime.timedelta.max, datetime.timedelta.min]:
        yield 'timedelta %s' % delta, delta
    yield 'timezone utc', utc
    yield 'timezone', seoul
    for text in ['0', '1.50', '-0.0', '1E+30', '1E-7', 'NaN', 'sNaN123', '-Infinity', '9' * 100]:
        yield 'Decimal %s' % text, decimal.Decimal(text)
    yield 'UUID', uuid.UUID('12345678-9abc-def0-8234-56789abcdef0')
    yield 'UUID small', uuid.UUID(int=1)
    yield 'UUID safe', uuid.UUID(int=2 ** 127 + 1, is_safe=uuid.SafeUUID.safe)
    import zoneinfo
    yield 'zoneinfo', zoneinfo.ZoneInfo('Asia/Seoul')
    yield 'zoneinfo not cached', datetime.datetime(2023, 7, 1, tzinfo=zoneinfo.ZoneInfo.no_cache('Europe/Berlin'))
    if protocol >= 2:  # lower ones end in a RecursionError
        from django.utils.safestring import mark_safe
        yield 'SafeString', mark_safe('<b>\ud64d</b>')
    try:
        import pytz
    except ImportError:
        return
    yield 'pytz utc', datetime.datetime(2023, 11, 14, tzinfo=pytz.utc)
    yield 'pytz local', pytz.timezone('Europe/Berlin').localize(datetime.datetime(2023, 7, 1))
    yield 'pytz static', pytz.timezone('Etc/GMT+5')
    yield 'pytz offset', pytz.FixedOffset(-330)


def work():
    import django
    sys.setrecursionlimit(3000)
    found = {}
    for protocol in range(6):
        cases = [(name, value, True) for name, value in plain_cases()]
        cases += [(name, value, False) for name, value in other_cases(protocol)]
        for name, value, is_json in cases:
            case = found.setdefault(name, {'pickles': {}})
            case['json'] = json.dumps(value, separators=(',', ':')) if is_json else None
            case['repr'] = repr(value) if name != 'int huge' and 'digits' not in name else None
            case['pickles'][str(protocol)] = base64.b64encode(pickle.dumps({'value': value}, protocol)).decode()
    try:
        import pytz
        pytz_version = pytz.__version__
    except ImportError:
        pytz_version = None
    versions = {'python': sys.version.split()[0], 'django': django.__version__, 'pytz': pytz_version}
    print(json.dumps({'versions': versions, 'cases': found}))


def main():
    versions, cases = {}, {}
    for environment in ENVIRONMENTS:
        python = os.path.join(CACHE, environment, 'bin', 'python')
        output = subprocess.run([python, '-W', 'ignore', os.path.abspath(__file__), 'work'], check=True, stdout=subprocess.PIPE)
        answer = json.loads(output.stdout)
        versions[environment] = answer['versions']
        for name, case in answer['cases'].items():
            known = cases.setdefault(name, {'name': name, 'json': case['json'], 'repr': case['repr'], 'pickles': []})
            assert known['json'] == case['json'], name
            for protocol, text in case['pickles'].items():
                same = [each for each in known['pickles'] if each['pickle'] == text]
                if same:
                    same[0]['by'].append('%s/%s' % (environment, protocol))
                else:
                    known['pickles'].append({'pickle': text, 'by': ['%s/%s' % (environment, protocol)]})
    with open(os.path.join(HERE, 'pickles.json'), 'w') as file:
        json.dump({'versions': versions, 'cases': list(cases.values())}, file, indent=1)
        file.write('\n')


if __name__ == '__main__':
    work() if sys.argv[1:] == ['work'] else main()
