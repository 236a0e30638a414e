"""Records the results of real Django's CsrfViewMiddleware for many requests, one Django per PYTHON.

    python3 test/django/csrf.py PYTHON… > test/vectors/csrf.json

`secret` is the visitor's secret. Each case is a request with its settings. Each list of results has one entry per Django:
`reason`, why the request is rejected (null: it is accepted; "ValueError": Django raises that); and what the response
stores in the cookie or session, `passive` if the view uses no token and `active` if it does: null for nothing, else
whether the secret is the visitor's, the length of the text, and whether it is the received text.
Equal results are stored once, in `answers`; `results` are indexes into it.
"""

import json
import random
import subprocess
import sys

READER = """
import io, json, sys
from urllib.parse import urlencode
import django
from django.conf import settings
settings.configure(SECRET_KEY="unused", ALLOWED_HOSTS=["*"], DEBUG=False, SESSION_COOKIE_DOMAIN=None, CSRF_COOKIE_DOMAIN=None,
                   CSRF_USE_SESSIONS=False, CSRF_TRUSTED_ORIGINS=[], CSRF_HEADER_NAME="HTTP_X_CSRFTOKEN")
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpResponse
from django.middleware import csrf

class Middleware(csrf.CsrfViewMiddleware):
    def _reject(self, request, reason):
        return reason

asked = json.load(sys.stdin)
SECRET = asked["secret"]
unmask = getattr(csrf, "_unmask_cipher_token", None) or csrf._unsalt_cipher_token
secret_of = lambda text: unmask(text) if len(text) == 64 else text

def run(case, wants_token):
    given = case.get("settings", {})
    name = "CSRF_TRUSTED_ORIGINS" if django.VERSION >= (4, 0) else "CSRF_TRUSTED_HOSTS"
    settings.CSRF_TRUSTED_ORIGINS = given.get(name, [])
    settings.CSRF_COOKIE_DOMAIN = given.get("CSRF_COOKIE_DOMAIN")
    settings.SESSION_COOKIE_DOMAIN = given.get("SESSION_COOKIE_DOMAIN")
    settings.CSRF_USE_SESSIONS = given.get("CSRF_USE_SESSIONS", False)
    settings.CSRF_HEADER_NAME = given.get("CSRF_HEADER_NAME", "HTTP_X_CSRFTOKEN")
    settings.ALLOWED_HOSTS = given.get("ALLOWED_HOSTS", ["*"])
    body = urlencode({"csrfmiddlewaretoken": case["field"]}).encode() if case.get("field") is not None else b""
    environ = {"REQUEST_METHOD": case.get("method", "POST"), "PATH_INFO": "/", "SERVER_NAME": "testserver",
               "SERVER_PORT": case.get("port", "80"), "wsgi.url_scheme": "https" if case.get("secure") else "http",
               "wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body)),
               "CONTENT_TYPE": "application/x-www-form-urlencoded", "HTTP_HOST": case.get("host", "example.com")}
    stored = case.get("stored")
    if stored is not None and not settings.CSRF_USE_SESSIONS:
        environ["HTTP_COOKIE"] = "csrftoken=" + stored
    for key, meta in (("origin", "HTTP_ORIGIN"), ("referer", "HTTP_REFERER"), ("header", settings.CSRF_HEADER_NAME)):
        if case.get(key) is not None:
            environ[meta] = case[key]
    request = WSGIRequest(environ)
    request.session = {} if stored is None or not settings.CSRF_USE_SESSIONS else {"_csrftoken": stored}
    before = dict(request.session)
    middleware = Middleware(lambda request: HttpResponse())
    middleware.process_request(request)
    reason = middleware.process_view(request, lambda request: HttpResponse(), (), {})
    if wants_token:
        token = csrf.get_token(request)
    response = middleware.process_response(request, HttpResponse())
    if settings.CSRF_USE_SESSIONS:
        after = request.session.get("_csrftoken") if request.session != before else None
    else:
        after = response.cookies["csrftoken"].value if "csrftoken" in response.cookies else None
    if wants_token:
        assert secret_of(token) == secret_of(after or stored), "the token is one of what is stored"
    return reason, after and {"own": secret_of(after) == SECRET, "length": len(after), "same": after == stored}

def answer(case):
    try:
        reason, passive = run(case, False)
        _, active = run(case, True)
        return {"reason": reason, "passive": passive, "active": active}
    except Exception as error:
        return {"reason": type(error).__name__}

json.dump({"django": django.get_version(), "python": sys.version.split()[0],
           "answers": [answer(case) for case in asked["cases"]]}, sys.stdout)
"""

LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
chance = random.Random(1970)


def text(length):
    return "".join(chance.choice(LETTERS) for _ in range(length))


def masked(secret, mask=None):
    mask = mask or text(32)
    pairs = zip((LETTERS.index(x) for x in secret), (LETTERS.index(x) for x in mask))
    return mask + "".join(LETTERS[(x + y) % len(LETTERS)] for x, y in pairs)


SECRET = text(32)
OTHER = text(32)
STORED = [None, masked(SECRET), masked(SECRET), SECRET, masked(OTHER), OTHER, "", text(31), text(33), text(63), text(65),
          masked(SECRET)[:-1] + "-", SECRET[:-1] + "_", "a" * 64, "9" * 64, text(128), text(63) + "%", text(64) + "=="]
SENT = [None, "", masked(SECRET), SECRET, masked(OTHER), OTHER, text(31), text(33), text(63), text(65), text(200),
        masked(SECRET)[:-1] + "-", SECRET[:-1] + ".", " " + SECRET[1:], SECRET.swapcase()]
BEYOND_ASCII = [text(31) + "\u00e9", text(30) + "\u00e9", text(63) + "\ud64d", text(62) + "\U0001f600"]
ORIGINS = [None, "", "null", "http://example.com", "https://example.com", "https://example.com:443", "http://example.com:80",
           "https://EXAMPLE.com", "HTTPS://example.com", "https://example.com/", "https://example.com:8443",
           "https://www.example.com", "https://trusted.org", "http://trusted.org", "https://sub.trusted.org",
           "https://a.b.wild.org", "https://wild.org", "http://wild.org", "https://a.wild.org:8443", "https://xwild.org",
           "https://user@wild.org", "example.com", "//example.com", "https://[", "https://[::1]", "file://", "https://",
           "chrome-extension://abcdef", "https://wild.org.evil.org", "https://evil.org", "https://evil.org?.wild.org"]
REFERERS = ORIGINS[:2] + [origin + path for origin in ORIGINS[2:] for path in ("/", "/catalog/?a=1&b=#c")] + [
    "https://example.com#", "https://example.com", "https:/example.com/", "https:example.com", "data:text/html,x", "/catalog/",
    "https://example.com\\@evil.org/", "https://example.com@evil.org/", "https://evil.org/https://example.com/"]
SETTINGS = [
    {}, {"CSRF_COOKIE_DOMAIN": "example.com"}, {"CSRF_COOKIE_DOMAIN": ".example.com"}, {"CSRF_COOKIE_DOMAIN": ".Example.COM"},
    {"SESSION_COOKIE_DOMAIN": ".example.com"}, {"ALLOWED_HOSTS": ["other.example.com"]},
    {"CSRF_TRUSTED_ORIGINS": ["https://trusted.org", "https://*.wild.org"], "CSRF_TRUSTED_HOSTS": ["trusted.org", ".wild.org"]},
    {"CSRF_TRUSTED_ORIGINS": ["http://trusted.org", "http://*.WILD.org"], "CSRF_TRUSTED_HOSTS": ["TRUSTED.org", ".WILD.org:8443"]},
    {"CSRF_TRUSTED_ORIGINS": ["https://*.wild.org:8443", "https://*"], "CSRF_TRUSTED_HOSTS": ["*.wild.org", ""]},
    {"CSRF_TRUSTED_ORIGINS": ["https://trusted.org:443", "chrome-extension://*"], "CSRF_TRUSTED_HOSTS": ["https://trusted.org"]},
    {"ALLOWED_HOSTS": ["other.example.com"], "CSRF_TRUSTED_ORIGINS": ["https://example.com"], "CSRF_TRUSTED_HOSTS": ["example.com"]},
]
HOSTS = ["example.com", "example.com", "example.com:8443", "www.example.com", "EXAMPLE.com", "[::1]", "[::1]:8443"]
PORTS = ["80", "443", "8443"]


def cases():
    fine = {"stored": masked(SECRET), "field": masked(SECRET)}
    for stored in STORED:
        for field in SENT:
            yield {"stored": stored, "field": field}
        for header in SENT:
            yield {"stored": stored, "header": header}
            yield {"stored": stored, "header": header, "field": chance.choice(SENT)}
    for sent in BEYOND_ASCII:
        yield {"stored": SECRET, "field": sent}
    # WSGI makes each byte of a header a character.
    yield {"stored": SECRET, "header": text(31) + "\u00e9"}
    for method in ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "PATCH", "DELETE", "PROPFIND"]:
        yield {"method": method, "stored": masked(SECRET), "field": masked(SECRET)}
        yield {"method": method, "stored": masked(SECRET), "header": masked(SECRET)}
        yield {"method": method, "origin": "https://evil.org", "secure": True}
    for name in ["HTTP_X_XSRF_TOKEN", "HTTP_CSRF", "HTTP_X_CSRF2_TOKEN"]:
        for header in SENT[:6]:
            yield {"stored": SECRET, "header": header, "settings": {"CSRF_HEADER_NAME": name}}
    for stored in [None, masked(SECRET), SECRET, masked(OTHER)]:
        for field in SENT[:6]:
            yield {"stored": stored, "field": field, "settings": {"CSRF_USE_SESSIONS": True}}
    for origin in ORIGINS:
        for secure in (False, True):
            for settings in SETTINGS:
                yield dict(fine, origin=origin, secure=secure, settings=settings)
    for referer in REFERERS:
        for settings in SETTINGS:
            yield dict(fine, referer=referer, secure=True, settings=settings)
        yield dict(fine, referer=referer)
    for _ in range(300):
        use_sessions = chance.random() < 0.2
        yield dict(
            fine,
            origin=chance.choice(ORIGINS) if chance.random() < 0.5 else None,
            referer=chance.choice(REFERERS),
            secure=chance.random() < 0.8,
            host=chance.choice(HOSTS),
            port=chance.choice(PORTS),
            settings=dict(chance.choice(SETTINGS), CSRF_USE_SESSIONS=use_sessions),
        )


def main(pythons):
    asked = list(cases())
    runs = []
    for python in pythons:
        question = json.dumps({"secret": SECRET, "cases": asked})
        done = subprocess.run([python, "-W", "ignore", "-c", READER], input=question, capture_output=True, text=True, check=True)
        runs.append(json.loads(done.stdout))
    answers = {}
    place = lambda answer: answers.setdefault(json.dumps(answer), len(answers))
    lines = []
    for i, case in enumerate(asked):
        short = {key: value for key, value in case.items() if value is not None and value != {}}
        lines.append(json.dumps({"request": short, "results": [place(run["answers"][i]) for run in runs]}))
    print("{\n\"djangos\": %s,\n\"pythons\": %s,\n\"secret\": %s,\n\"answers\": [\n%s\n],\n\"cases\": [\n%s\n]\n}" % (
        json.dumps([run["django"] for run in runs]), json.dumps([run["python"] for run in runs]), json.dumps(SECRET),
        ",\n".join(answers), ",\n".join(lines)))


main(sys.argv[1:])
