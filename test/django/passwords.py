"""Records password hashes written by real Django, and its results for damaged ones, one Django per PYTHON.

    python3 test/django/passwords.py PYTHON… > test/vectors/passwords.json

`hashes`: a Django version, a hasher, a password, and the result of `make_password`: with the hasher's own cost, and for
more passwords with the lowest. `damaged`: a stored text, a password, and the result of `check_password` in each Django
(the name of the exception if it raised one).
"""

import json
import subprocess
import sys

WRITER = r"""
import json, sys
import django
from django.conf import settings
HASHERS = ['PBKDF2PasswordHasher', 'PBKDF2SHA1PasswordHasher', 'Argon2PasswordHasher', 'BCryptSHA256PasswordHasher',
           'BCryptPasswordHasher'] + (['ScryptPasswordHasher'] if django.VERSION >= (4, 0) else [])
settings.configure(PASSWORD_HASHERS=['django.contrib.auth.hashers.' + name for name in HASHERS])
django.setup()
from django.contrib.auth import hashers
import argon2

damaged = json.loads(sys.argv[1])
found = []
def add(hasher, password, cost, **attributes):
    instance = getattr(hashers, hasher)()
    for name, value in attributes.items():
        setattr(instance, name, value)
    encoded = hashers.make_password(password, salt=None, hasher=instance)
    found.append({'hasher': hasher, 'password': password, 'cost': cost, 'encoded': encoded})

CHEAP = {
    'PBKDF2PasswordHasher': {'iterations': 7},
    'PBKDF2SHA1PasswordHasher': {'iterations': 7},
    'Argon2PasswordHasher': {'time_cost': 1, 'memory_cost': 64, 'parallelism': 1},
    'BCryptSHA256PasswordHasher': {'rounds': 4},
    'BCryptPasswordHasher': {'rounds': 4},
    'ScryptPasswordHasher': {'work_factor': 16, 'parallelism': 1},
}
for hasher in HASHERS:
    add(hasher, 'correct horse', 'own')
    for password in ['x', ' blanks around ', '\ube44\ubc00\ubc88\ud638 \U0001f40e', 'a' * 72, 'b' * 300]:
        if hasher == 'BCryptPasswordHasher' and len(password) > 72:
            continue  # a matter of the bcrypt package's version
        add(hasher, password, 'least', **CHEAP[hasher])
if django.VERSION >= (3, 2):
    for variety in [argon2.Type.I, argon2.Type.D, argon2.Type.ID]:
        for version in [16, 19]:
            encoded = 'argon2' + argon2.low_level.hash_secret(
                b'correct horse', b'some salt of ours', time_cost=2, memory_cost=64, parallelism=2, hash_len=32,
                type=variety, version=version).decode()
            # The oldest hashes do not contain their version.
            for text in sorted({encoded, encoded.replace('$v=16', '')}):
                if hashers.check_password('correct horse', text):
                    found.append({'hasher': 'Argon2PasswordHasher', 'password': 'correct horse', 'cost': 'least',
                                  'encoded': text})

def outcome(encoded, password):
    try:
        return hashers.check_password(password, encoded)
    except Exception as error:
        return type(error).__name__

print(json.dumps({
    'version': django.get_version(),
    'hashes': found,
    'damaged': [outcome(*one) for one in damaged],
}))
"""



def damaged(good):
    """Texts similar to a valid hash of the password 'x'."""
    yield from [
        '',
        '!',
        '!unusable',
        'x',
        '$',
        'pbkdf2_sha256',
        'pbkdf2_sha256$',
        'pbkdf2_sha256$7',
        'md5$salt$' + '0' * 32,
        '0' * 32,
        'md5$$' + '0' * 32,
        'sha1$salt$' + '0' * 40,
        'sha1$$' + '0' * 40,
        'crypt$$abc',
        'custom$1$abc$def',
    ]
    for encoded in good:
        algorithm, rest = encoded.split('$', 1)
        yield from [
            encoded,
            encoded + ' ',
            ' ' + encoded,
            encoded + '\n',
            encoded + '$',
            encoded[:-1],
            encoded[:-1] + ('A' if encoded[-1] != 'A' else 'B'),
            algorithm.upper() + '$' + rest,
            algorithm + '$' + rest.upper(),
            algorithm + '$0' + rest,
            algorithm + '$-' + rest,
            algorithm + '$+' + rest,
            algorithm + '$' + rest.replace('$', '$$'),
            algorithm + rest,
            '!' + encoded,
        ]


def run(python, texts):
    output = subprocess.run([python, '-c', WRITER, json.dumps(texts)], check=True, stdout=subprocess.PIPE).stdout
    return json.loads(output)


pythons = sys.argv[1:]
first = run(pythons[-1], [])
cheap = [one['encoded'] for one in first['hashes'] if one['password'] == 'x']
texts = [[encoded, 'x'] for encoded in damaged(cheap)]
results = [run(python, texts) for python in pythons]
json.dump(
    {
        'versions': [result['version'] for result in results],
        'hashes': [dict(one, django=result['version']) for result in results for one in result['hashes']],
        'damaged': [
            {'encoded': encoded, 'password': password, 'outcomes': [result['damaged'][at] for result in results]}
            for at, (encoded, password) in enumerate(texts)
        ],
    },
    sys.stdout,
    indent=1,
)
print()
