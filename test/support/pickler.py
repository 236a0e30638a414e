"""Loads pickles with the real pickle module: a JSON request a line in, a JSON answer a line out.

{"pickle": "<base64>", "protocol": 2} -> {"pickle": "<base64 of what was loaded, dumped again>"}
An exception                          -> {"error": "UnpicklingError: …"}
"""

import base64
import json
import pickle
import sys

for line in sys.stdin:
    request = json.loads(line)
    try:
        loaded = pickle.loads(base64.b64decode(request['pickle']))
        reply = {'pickle': base64.b64encode(pickle.dumps(loaded, request['protocol'])).decode()}
    except Exception as error:
        reply = {'error': '%s: %s' % (type(error).__name__, error)}
    print(json.dumps(reply), flush=True)
