"""Records the results of Django's `parse_cookie` and `set_cookie` for random headers and values, one Django per PYTHON.

    python3 test/django/cookies.py PYTHON… > test/vectors/cookies.json

`headers`: a Cookie header, one character per byte as in WSGI and Node, and the session cookie that Django reads from it,
or null. `values`: a value and the `name=value` that Django sends for it. `vary`: a Vary header and the result of
`patch_vary_headers`. Each list of results has one entry per Django.
"""

import json
import random
import subprocess
import sys

READER = """
import json, sys
import django
from django.conf import settings
settings.configure(DEFAULT_CHARSET="utf-8")
from django.core.handlers.wsgi import get_str_from_wsgi
from django.http import HttpResponse
from django.http.cookie import parse_cookie
from django.utils.cache import patch_vary_headers

def read(header):
    return parse_cookie(get_str_from_wsgi({"HTTP_COOKIE": header}, "HTTP_COOKIE", "")).get("sessionid")

def write(value):
    response = HttpResponse()
    response.set_cookie("sessionid", value, path="")
    return response.cookies["sessionid"].OutputString()

def vary(existing):
    response = HttpResponse()
    if existing:
        response["Vary"] = existing
    patch_vary_headers(response, ("Cookie",))
    return response["Vary"]

asked = json.load(sys.stdin)
json.dump({"django": django.get_version(), "python": sys.version.split()[0],
           "headers": [read(header) for header in asked["headers"]],
           "values": [write(value) for value in asked["values"]],
           "vary": [vary(existing) for existing in asked["vary"]]}, sys.stdout)
"""

NAMES = ["sessionid"] * 6 + ["SessionID", " sessionid", "sessionid ", "xsessionid", "csrftoken", "", "\xa0sessionid\x1f"]
PARTS = [
    "abcdefgh", "k0", '"', '"', "\\", '\\"', "\\141", "\\377", "\\400", "\\08", "\\000", "=", " ", "\t", "%64", ",", "'",
    "\x1c", "\xc2\x85", "\xc2\xa0", "\xe3\x80\x80", "\xef\xbb\xbf", "\xe2\x80\x8b", "\xed\x99\x8d", "\xf0\x9f\x98\x80",
    "\xed\xa0\xbd", "\xe9", "\xf0\x9f\x98", "\xc0\x80", "\x80", "\xff", "\xf4\x90\x80\x80", "\xe2\x80\xa8",
]
SEPARATORS = ["; "] * 6 + [";", ";;", " ; ", ", ", ";\t", ""]
VALUES = [
    "", "abcdefgh12345678", "ABC-123_~", "a b", 'a"b', "a\\b", "a;b", "a,b", "\x00bcdefgh", "\x7f", "\x80", "\xe1bc", "\xff",
    "홍길동홍길동홍길", "😀bcdefgh", "a:b:c", "(a)", "[x]{y}", "a=b", "<a>", "@", "/", "?", " ", "\n\r\t", "ábc ", "'", "`|~^",
]
VARY = [
    "", "Cookie", "cookie", "Accept-Encoding", "Accept-Encoding, cookie", "Accept ,Accept-Language", "*", "Accept, *",
    "*, Cookie", "X-Cookie", "Accept,COOKIE",
]


def main(pythons):
    chance = random.Random(1970)
    headers = ["", "sessionid", "=sessionid", ";", '"', 'sessionid="', 'sessionid=""', "sessionid=a; sessionid"]
    for _ in range(500):
        header = ""
        for _ in range(chance.randint(1, 4)):
            value = "".join(chance.choice(PARTS) for _ in range(chance.randint(0, 5)))
            if chance.random() < 0.5:
                value = '"' + value + '"'
            header += chance.choice(NAMES) + chance.choice(["=", "=", "=", " = ", "==", ""]) + value
            header += chance.choice(SEPARATORS)
        headers.append(header)
    asked = {"headers": list(dict.fromkeys(headers)), "values": VALUES, "vary": VARY}
    answers = []
    for python in pythons:
        done = subprocess.run([python, "-c", READER], input=json.dumps(asked), capture_output=True, text=True, check=True)
        answers.append(json.loads(done.stdout))
    out = {"djangos": [answer["django"] for answer in answers], "pythons": [answer["python"] for answer in answers]}
    for kind, inputs in asked.items():
        out[kind] = [{"input": text, "results": [answer[kind][i] for answer in answers]} for i, text in enumerate(inputs)]
    print(json.dumps(out, indent=0))


main(sys.argv[1:])
