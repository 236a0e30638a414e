"""Records `request.POST` of real Django for many bodies of forms, one Django per PYTHON.

    python3 test/django/forms.py PYTHON… > test/vectors/forms.json

`forms`: a Content-Type and a body, one character per byte, as pieces `[text, times]`; then, one entry per Django, the
fields as a list of names with their values, or the name of the exception that the view gets.
"""

import json
import random
import subprocess
import sys

READER = """
import io, json, sys
import django
from django.conf import settings
settings.configure(ALLOWED_HOSTS=["*"])
from django.core.handlers.wsgi import WSGIRequest

def post(content_type, pieces):
    body = "".join(text * times for text, times in pieces).encode("latin-1")
    environ = {"REQUEST_METHOD": "POST", "PATH_INFO": "/", "SERVER_NAME": "a", "SERVER_PORT": "80",
               "wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body)), "CONTENT_TYPE": content_type}
    try:
        return [[name, values] for name, values in WSGIRequest(environ).POST.lists()]
    except Exception as error:
        return type(error).__name__

asked = json.load(sys.stdin)
json.dump({"django": django.get_version(), "python": sys.version.split()[0],
           "forms": [post(*one) for one in asked["forms"]]}, sys.stdout)
"""

URLENCODED = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=b"
NAMED = 'Content-Disposition: form-data; name="a"'


def part(*headers, value="1", end="\r\n"):
    return "--b\r\n" + "".join(header + end for header in headers) + end + value + "\r\n"


def field(parameters, value="1"):
    return part("Content-Disposition: form-data; " + parameters, value=value)


TYPES = [
    "", "text/plain", "application/json", URLENCODED.upper(), URLENCODED + ";", URLENCODED + "x", " " + URLENCODED + " ",
    URLENCODED + "; charset=utf-8", URLENCODED + "; charset=UTF-8", URLENCODED + "; charset=nothing-known",
    URLENCODED + '; charset="utf-8"', URLENCODED + "; a=" + "b" * 9_000, "multipart/form-data", "multipart/mixed; boundary=b",
    "MULTIPART/FORM-DATA; boundary=b", "multipart/FORM-data; Boundary=b", 'multipart/form-data; boundary="b"',
    "multipart/form-data;boundary=b;", "multipart/form-data; boundary=", "multipart/form-data; boundary=B",
    "multipart/form-data; boundary=b; boundary=c", "multipart/form-data; a=b; boundary=b", "multipart/form-data boundary=b",
    "multipart/form-data; boundary=" + "b" * 201, "multipart/form-data; boundary=" + "b" * 202,
    "multipart/form-data; boundary=\xe9", 'multipart/form-data; boundary="b "', "multipart/form-data; boundary='b'",
    "multipart/form-data; a=\";\"; boundary=b", "multipart/form-data; boundary=b; charset=utf-8",
]
URLENCODED_BODIES = [
    "", "a", "a=", "=a", "=", "&", "&&", "a&b", "a=1&a=2", "a=1&&b=2&", "a=b=c", "a;b=1", "a=1;b=2", "a+b=c+d", "a%2Bb=c%2bd", "%",
    "%a", "%4", "%41%", "%zz=%4g", "%C3%A9=%c3%a9", "%C3=%E2%82", "%C3\xc3\xa9", "%ED%A0%80", "%F0%9F%98%80", "%00=%00", "\0", "\r\n",
    "\xc3\xa9=1", "\xe9=1", "\xe9=%C3%A9", "\xed\xa0\x80=1", "\xef\xbb\xbfa=1", "%EF%BB%BFa=1", "%u0041", "a[]=1&a[]=2", "__proto__=1",
    "constructor=1&toString=2", "a=%26&b=%3D", "a%3Db", "a=\xff%ff", "%c3%28=1", "%FF%FE=%80%80", "a%20=%20b ",
]
MULTIPART_BODIES = [
    "", "--b", "--b--", "--b--\r\n", "--c\r\n", "no boundary", part(NAMED), part(NAMED) + "--b--", part(NAMED) + "--b--\r\n",
    part(NAMED) + "--b--\r\nafter", "before\r\n" + part(NAMED), part(NAMED) + part(NAMED, value="2") + "--b--",
    part(NAMED) + "--b--\r\n" + field('name="c"'), part(NAMED, value="") + "--b--\r\n", part(NAMED, value="\r\n") + "--b--",
    part(NAMED, value="1\n2\r3\r\n4") + "--b--", part(NAMED, value="--b") + "--b--", part(NAMED, value="--") + "--b--",
    part(NAMED, value="x--bx") + "--b--", part(NAMED, end="\n") + "--b--", part(NAMED, end="\r") + "--b--",
    part(NAMED).replace("\r\n--b", "\n--b") + "--b--", "--b\r\n" + NAMED + "\r\n--b--", "--b\r\n" + NAMED + "\r\n\r\n--b--",
    "--b\r\n" + NAMED + "\r\n\r\n\r\n--b--", "--b\r\n\r\n1\r\n--b--", "--b" + NAMED + "\r\n\r\n1\r\n--b--", "--b \r\n" + NAMED + "\r\n\r\n1",
    "--b\r\n" + NAMED + "\r\n\r\n1\n--b--", "--b\r\n" + NAMED + "\r\n\r\n1\r--b--", "--b\r\n" + NAMED + "\r\n\r\n1--b--",
    "\xff" + part(NAMED) + "--b--", part(NAMED, value="\xc3\xa9") + "--b--", part(NAMED, value="\xe9\xff") + "--b--",
    part("content-disposition: FORM-DATA; NAME=a") + "--b--", part("Content-Disposition:form-data;name=a") + "--b--",
    part("Content-Disposition: form-data") + "--b--", part("Content-Disposition: attachment; name=a") + "--b--",
    part("Content-Disposition: name=a") + "--b--", part("Content-Disposition:; name=a") + "--b--", part("Content-Disposition") + "--b--",
    part("Content-Type: text/plain") + "--b--", part("Content-Type: text/plain", NAMED) + "--b--", part(NAMED, "junk") + "--b--",
    part(NAMED, 'Content-Disposition: form-data; name="c"') + "--b--", part(NAMED, "X: \xe9") + "--b--",
    part('Content-Disposition: form-data; name="c"; filename="f"', NAMED) + "--b--",
    part(NAMED, 'Content-Disposition: form-data; name="c"; filename="f"') + "--b--",
    part(NAMED, 'Content-Disposition: form-data; name="\xe9"') + "--b--", part('Content-Disposition: form-data; name="\xe9"') + "--b--",
    part('Content-Disposition: form-data; name="\xc3\xa9"') + "--b--",
    *(field(parameters) + "--b--" for parameters in (
        'name="a"; filename="f"', 'name="a"; filename=""', "name=a; filename=f", 'name="a"; filename', 'name="a"; filename="/"', 'name=""',
        "name=", "name", 'filename="f"', 'name=" a "', "name='a'", "name=<a>", 'name="a', 'name=a"', 'name="a;b"', 'name="a;b', 'name="a\\"b"',
        'name="a\\";b"', 'name="a\\\\"', 'name="a\\\\";b', 'name="a%22b"', 'name="a"; name="c"', 'name="a";; x', ';name="a"', 'name ="a"',
        'name= "a"', 'name=a b', "name=a=b", "name*=utf-8''%C3%A9", "name*=utf-8'en'a+b", "name*=UTF-8''a'b", "name*=''a", "name*=a",
        "name*=nothing-known''a", "name*=utf-8''%ff", 'name="\t\x0b\x0ca"', 'name="a\nb"', 'name="a\rb"', 'name="\x00"', 'NAME="a"',
        "name=a; filename*=utf-8''f", "name=a; filename*=utf-8''", 'name="__proto__"', 'name="[::1]"', 'name="\xc2\xa0a"',
    )),
    *(part(NAMED, "Content-Transfer-Encoding: " + encoding, value=value) + "--b--" for encoding, value in (
        ("base64", "YQ=="), ("BASE64", "YQ=="), (" base64 ", "YQ=="), ("base64", "YQ"), ("base64", "!!!!"), ("base64", ""), ("base64", "w6k="),
        ("base64", "4pyT4pyT"), ("base64", "===="), ("base64", "Y==="), ("8bit", "YQ=="), ("quoted-printable", "=41"), ("base64", "/w=="),
    )),
    part("Content-Transfer-Encoding: base64", NAMED, value="YQ==") + "--b--",
]


def of_headers(length):
    """A part with `length` bytes from the boundary to the empty line, inclusive."""
    return "--b\r\n" + NAMED + "\r\nX: " + "x" * (length - len(NAMED) - 11) + "\r\n\r\n1\r\n--b--"


REPEATED = [
    (URLENCODED, [["a&", 999]]), (URLENCODED, [["a&", 998], ["a", 1]]), (URLENCODED, [["a&", 1000]]), (URLENCODED, [["a=1&", 1001]]),
    (URLENCODED, [["&", 999]]), (URLENCODED, [["&", 1000]]), (URLENCODED, [["a;", 1001]]),
    *((MULTIPART, [[field('name="a"'), times], ["--b--\r\n", 1]]) for times in (999, 1000, 1001)),
    *((MULTIPART, [[field('name="a"; filename="f"'), times], ["--b--\r\n", 1]]) for times in (99, 100, 101)),
    *((MULTIPART, [[field('name="a"; filename="/"'), times], ["--b--\r\n", 1]]) for times in (100, 101)),
    *((MULTIPART, [[field('name="a"; filename=""'), times], ["--b--\r\n", 1]]) for times in (1000, 1001)),
    *((MULTIPART, [["--b\r\n", times], [field('name="a"'), 1], ["--b--\r\n", 1]]) for times in (999, 1000)),
    (MULTIPART, [[field('name="a"'), 1000], [field('name="a"; filename="f"'), 100], ["--b--\r\n", 1]]),
    (MULTIPART, [[field('name="a"; filename="f"'), 101], [field('name="a"'), 1001], ["--b--\r\n", 1]]),
    (MULTIPART, [[field('name="a"'), 1001], [field('name="a"; filename="f"'), 101], ["--b--\r\n", 1]]),
    *((MULTIPART, [[of_headers(length), 1]]) for length in (1023, 1024, 1025, 1026, 2000)),
    (MULTIPART, [["x", 1023], ["\r\n", 1], [field('name="a"'), 1]]), (MULTIPART, [["x", 1024], ["\r\n", 1], [field('name="a"'), 1]]),
    (MULTIPART, [[field('name="a"'), 1], ["--b--", 1], ["x", 2000]]),
]
PIECES = [
    "--b", "--b", "--b--", "\r\n", "\r\n", "\r\n\r\n", "\n", "\r", "-", "b", "Content-Disposition: form-data", "; name=", "; filename=", '"', "a",
    '"a"', ";", "=", ":", "\\", "*", "'", "utf-8''", " ", "\t", "\xc3\xa9", "\xff", "\0", "%C3%A9", NAMED, NAMED + "\r\n\r\n", "X: y",
]
CODED = ["a", "b", "=", "&", "&", "+", "%", "%41", "%C3%A9", "%C3", "%e2%82", "\xc3\xa9", "\xe9", ";", " ", "\0", "%00", "%2", "4", "\r\n"]


def main(pythons):
    chance = random.Random(1970)
    forms = [(content_type, [[body, 1]]) for content_type in TYPES for body in ("a=1", part(NAMED) + "--b--\r\n")]
    forms += [(URLENCODED, [[body, 1]]) for body in URLENCODED_BODIES]
    forms += [(MULTIPART, [[body, 1]]) for body in MULTIPART_BODIES]
    forms += REPEATED
    for _ in range(200):
        forms.append((URLENCODED, [["".join(chance.choice(CODED) for _ in range(chance.randint(1, 12))), 1]]))
        forms.append((MULTIPART, [["--b\r\n" + "".join(chance.choice(PIECES) for _ in range(chance.randint(1, 14))), 1]]))
        parameters = "".join(chance.choice(PIECES[10:-5]) for _ in range(chance.randint(1, 8)))
        forms.append((MULTIPART, [[field("name=" + parameters) + "--b--", 1]]))
    answers = []
    for python in pythons:
        done = subprocess.run([python, "-c", READER], input=json.dumps({"forms": forms}), capture_output=True, text=True, check=True)
        answers.append(json.loads(done.stdout))
    lines = [json.dumps({"input": one, "results": [answer["forms"][i] for answer in answers]}) for i, one in enumerate(forms)]
    print('{\n"djangos": ' + json.dumps([answer["django"] for answer in answers]) + ',\n"pythons": '
          + json.dumps([answer["python"] for answer in answers]) + ',\n"forms": [\n' + ",\n".join(lines) + "\n]\n}")


main(sys.argv[1:])
