"""Writes pickled dicts as compressed by the ZStdCompressor of django-redis: pyzstd.compress with its defaults.

    pip install pyzstd; python3 test/caches/zstd-values.py > test/vectors/zstd-values.json
"""

import json
import pickle
import sys

import pyzstd

DICTS = [{'a': 1, 'text': 'x' * 40}, {'many': list(range(500))}, {'repeated': 'lörem ipsum ' * 300}]

json.dump(
    {
        'python': sys.version.split()[0],
        'pyzstd': pyzstd.__version__,
        'zstd': pyzstd.zstd_version,
        'values': [
            {
                'json': json.dumps(each, separators=(',', ':')),
                'value': pyzstd.compress(pickle.dumps(each, pickle.DEFAULT_PROTOCOL)).hex(),
            }
            for each in DICTS
        ],
    },
    sys.stdout,
    indent=0,
)
print()
