"""Records the results of real Django's `url_has_allowed_host_and_scheme` and `iri_to_uri`, one Django per PYTHON.

    python3 test/django/safe-urls.py PYTHON… > test/vectors/safe-urls.json

`safe`: a URL, and whether it is safe for the hosts in HOSTS over HTTP and over HTTPS, as two digits per Django.
`uris`: a URL, and the result of `iri_to_uri`, the same in each Django.
"""

import json
import random
import subprocess
import sys

HOSTS = ["testserver", "library.example:8443", "[::1]:8000"]

READER = """
import json, sys
import django
from django.utils import http
from django.utils.encoding import iri_to_uri
check = getattr(http, "url_has_allowed_host_and_scheme", None) or http.is_safe_url
asked = json.load(sys.stdin)
hosts = set(asked["hosts"])
json.dump({"django": django.get_version(), "python": sys.version.split()[0],
           "safe": ["".join(str(int(check(url, hosts, require_https=https))) for https in (False, True)) for url in asked["urls"]],
           "uris": [iri_to_uri(url) for url in asked["uris"]]}, sys.stdout)
"""

PARTS = [
    "/", "//", "///", "\\", "\\\\", "http:", "https:", "HTTPS:", "hTTp:", "ftp:", "javascript:", "data:", "ws:", ":", "::",
    "@", "?", "#", "%", "%2f", "%5C", "%00", ";", "&", "=", ".", "..", "-", "+", "a", "z9", "testserver", "TESTSERVER",
    "testserver.", "testserver:80", "library.example:8443", "evil.example", "evil.example:8443", "[::1]:8000", "[::1]",
    "[", "]", "[a]", "[::1%25x]", "[v1.a]", "[1.2.3.4]", "user:pass@", "홍", "é", "\u212a", "\u2100", "\uff0f", "\uff1a", "\u2024",
    "\x00", "\x01", "\x08", "\t", "\n", "\r", "\x1b", "\x1f", " ", "\x7f", "\x85", "\xa0", "\xad", "\u200b", "\u2028", "\u3000", "\ufeff",
    "\ue000", "catalog/", "accounts/login/", "next=",
]
URLS = [
    # Django's own tests, tests/utils_tests/test_http.py
    "", "   ", "/", "/catalog/", "catalog/", "http://example.com", "http:///example.com", "https://example.com", "ftp://example.com",
    r"\\example.com", r"\\\example.com", r"/\\/example.com", r"\\\example.com", r"\\example.com", r"\\//example.com",
    r"/\/example.com", r"\/example.com", r"/\example.com", "http:///example.com", r"http:/\//example.com", r"http:\/example.com",
    r"http:/\example.com", 'javascript:alert("XSS")', "\njavascript:alert(x)", "java\nscript:alert(x)", "java\tscript:alert(x)",
    "\x08//example.com", r"http://otherserver\@example.com", r"http:\\testserver\@example.com", r"http://testserver\me:pass@example.com",
    r"http://testserver\@example.com", r"http:\\testserver\confirm\me@example.com", "http:999999999", "ftp:9999999999", "\n",
    "http://[2001:cdba:0000:0000:0000:0000:3257:9652/", "http://2001:cdba:0000:0000:0000:0000:3257:9652]/", "/view/?param=http://example.com",
    "/view/?param=https://example.com", "/view?param=ftp://example.com", "view/?param=//example.com", "https://testserver/",
    "HTTPS://testserver/", "//testserver/", "http://testserver/confirm?email=me@example.com", "/url%20with%20spaces/", "path/http:2222222222",
    # and more
    "/\t/evil.example", "/\n/evil.example", "\t//evil.example", " //evil.example", "//evil.example/%2f..", "/%2f%2fevil.example",
    "/%09/evil.example", "/%5cevil.example", "/.//evil.example", "/..//evil.example", "//testserver@evil.example", "//evil.example@testserver",
    "//testserver:80/", "//TESTSERVER/", "//testserver./", "http://library.example:8443/x", "http://library.example/x",
    "https://library.example:8443", "//[::1]:8000/", "//[::1]/", "http:/testserver/", "http:testserver", "https:/\\testserver",
    "http://", "http:///", "//", "/ /evil.example", "?next=//evil.example", "#//evil.example", "//testserver#@evil.example/",
    "//testserver?@evil.example/", "//evil.example#@testserver/", "//testserver;@evil.example/", "http://testserver\\.evil.example/",
    "1http://testserver/", "+http://testserver/", "-x:/a", "h+t-t.p://testserver/", "http\u212a://testserver", "//test\u2100server/",
    "//testserver\uff0f@evil.example/", "\u3000//evil.example", "\xa0//evil.example", "\u200b//evil.example", "\xad//evil.example",
    "\ufeff//evil.example", "\ue000/x", "/\x00//evil.example", "/x\r\nSet-Cookie: a=b", "/홍길동/?q=책", "//testserver/\\..", "\ud800//evil.example",
    "/" + "a" * 2046, "/" + "a" * 2047, "/" + "a" * 2048, "/" + "홍" * 2047, "/" + "😀" * 2047, "/" + "😀" * 2048, "//testserver/" + "\\" * 3000,
]


def main(pythons):
    chance = random.Random(1970)
    made = ["".join(chance.choice(PARTS) for _ in range(chance.randint(1, 6))) for _ in range(4000)]
    made += [chance.choice(["/", "//", "http://", "https:\\\\", "\\/"]) + "".join(chance.choice(PARTS) for _ in range(chance.randint(1, 3))) for _ in range(2000)]
    urls = list(dict.fromkeys(URLS + made))
    uris = [url for url in urls if "\ud800" not in url][:1000]
    asked = {"hosts": HOSTS, "urls": urls, "uris": uris}
    answers = []
    for python in pythons:
        done = subprocess.run([python, "-W", "ignore", "-c", READER], input=json.dumps(asked), capture_output=True, text=True, check=True)
        answers.append(json.loads(done.stdout))
    for answer in answers:
        assert answer["uris"] == answers[0]["uris"]
    rows = {
        "safe": [[url, " ".join(answer["safe"][i] for answer in answers)] for i, url in enumerate(urls)],
        "uris": [[url, answers[0]["uris"][i]] for i, url in enumerate(uris)],
    }
    head = {"djangos": [answer["django"] for answer in answers], "pythons": [answer["python"] for answer in answers], "hosts": HOSTS}
    lines = [f'"{name}": {json.dumps(value)}' for name, value in head.items()]
    lines += [f'"{name}": [\n' + ",\n".join(json.dumps(row) for row in value) + "\n]" for name, value in rows.items()]
    print("{\n" + ",\n".join(lines) + "\n}")


main(sys.argv[1:])
