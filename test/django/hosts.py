"""Records the results of real Django's `split_domain_port` and `HttpRequest.get_host`, one Django per PYTHON.

    python3 test/django/hosts.py PYTHON… > test/vectors/hosts.json

`splits`: a Host header and `[domain, port]`. `hosts`: a Host header, ALLOWED_HOSTS, and whether `get_host` returns it
(false: DisallowedHost). `local`: the same with DEBUG and without ALLOWED_HOSTS. `raw`: the headers of a request, whether
USE_X_FORWARDED_HOST is set, and the result of `_get_raw_host`. Each list of results has one entry per Django.
"""

import json
import random
import subprocess
import sys

READER = """
import json, sys
import django
from django.conf import settings
settings.configure(ALLOWED_HOSTS=[], DEBUG=False, USE_X_FORWARDED_HOST=False)
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest
from django.http.request import split_domain_port

def request(meta):
    request = HttpRequest()
    request.META = {"SERVER_NAME": "server.name", "SERVER_PORT": "80", **meta}
    return request

def is_allowed(host, allowed_hosts, debug=False):
    settings.ALLOWED_HOSTS = allowed_hosts
    settings.DEBUG = debug
    try:
        return request({"HTTP_HOST": host}).get_host() == host
    except DisallowedHost:
        return False

def raw(meta, use_forwarded):
    settings.USE_X_FORWARDED_HOST = use_forwarded
    return request(meta)._get_raw_host()

asked = json.load(sys.stdin)
json.dump({"django": django.get_version(), "python": sys.version.split()[0],
           "splits": [split_domain_port(host) for host in asked["splits"]],
           "hosts": [is_allowed(host, allowed_hosts) for host, allowed_hosts in asked["hosts"]],
           "local": [is_allowed(host, [], True) for host in asked["local"]],
           "raw": [raw(meta, use_forwarded) for meta, use_forwarded in asked["raw"]]}, sys.stdout)
"""

PARTS = [
    "example.com", "EXAMPLE.com", "sub", "localhost", "127.0.0.1", "[::1]", "[", "]", ":", ":80", ":0", ":65536", ":-1",
    ":８０", ".", "..", "-", "_", "@", "/", "?", "#", "%", "\\", ",", ", ", " ", "\t", "\x00", "*", "a", "xn--9n2bp8q", "홍", "\u212a",
    "İ", "é", "::ffff:10.0.0.1", "fe80::1%eth0", "[2001:DB8::1]", "[::ffff:10.0.0.1]", "0x7f.1", "https://", "user:pass@",
]
DOMAINS = ["example.com", "Example.COM", "www.", "localhost", ".localhost", ".", ":80", "127.0.0.1", "[::1]", "k", "\u212a"]
HOSTS = [
    "", "localhost", "LOCALHOST", "localhost:8000", "localhost.", "localhost.:8000", "a.localhost", "a.b.localhost:1",
    "xlocalhost", "127.0.0.1", "127.0.0.1:3000", "127.0.0.2", "127.1", "0.0.0.0", "[::1]", "[::1]:3000", "[::1].", "[::2]",
    "::1", "[::]", "[0:0:0:0:0:0:0:1]", "[:::::]", "[:.]", "[a]", "[::1", "::1]", "example.com", "EXAMPLE.COM:443",
    "example.com.", "example.com..", "example.com:", "example.com:80:80", "example.com:80a", "example.com: 80",
    "example.com:99999999999999999999", " example.com", "example.com ", "example.com,example.com", "www.example.com",
    "wwwexample.com", "example.com.evil.org", "evil.org/example.com", "example.com@evil.org", "evil.org#example.com",
    "http://example.com", "exa_mple.com", "-", ".", "..", ".example.com", "...example.com", "*", "*.example.com", ".:80",
    "x" * 300 + ".example.com",
]
ALLOWED = [
    [], ["*"], ["example.com"], [".example.com"], ["EXAMPLE.com", ".LocalHost"], ["example.com:80"], ["https://example.com"],
    ["[::1]", "127.0.0.1"], ["::1", ""], ["."], ["*.example.com"], ["example.com."], ["[2001:db8::1]", "xn--9n2bp8q"], ["k"],
]
HEADERS = [
    {}, {"HTTP_HOST": ""}, {"HTTP_HOST": "a"}, {"HTTP_X_FORWARDED_HOST": "b"},
    {"HTTP_HOST": "a", "HTTP_X_FORWARDED_HOST": "b"}, {"HTTP_HOST": "a", "HTTP_X_FORWARDED_HOST": ""},
    {"HTTP_HOST": "a", "HTTP_X_FORWARDED_HOST": "b, c"},
]


def main(pythons):
    chance = random.Random(1970)
    hosts = HOSTS + [
        "".join(chance.choice(parts) for _ in range(chance.randint(1, 4))) for parts in (PARTS, DOMAINS) for _ in range(250)
    ]
    hosts = list(dict.fromkeys(hosts))
    asked = {
        "splits": hosts,
        "hosts": [[host, allowed] for host in HOSTS for allowed in ALLOWED]
        + [[host, chance.choice(ALLOWED[1:])] for host in hosts[len(HOSTS):]],
        "local": hosts,
        "raw": [[meta, use_forwarded] for meta in HEADERS for use_forwarded in (False, True)],
    }
    answers = []
    for python in pythons:
        done = subprocess.run([python, "-c", READER], input=json.dumps(asked), capture_output=True, text=True, check=True)
        answers.append(json.loads(done.stdout))
    out = {"djangos": [answer["django"] for answer in answers], "pythons": [answer["python"] for answer in answers]}
    for kind, inputs in asked.items():
        out[kind] = [{"input": one, "results": [answer[kind][i] for answer in answers]} for i, one in enumerate(inputs)]
    # One line per input.
    lines = [f'"{name}": ' + (json.dumps(value) if name in ("djangos", "pythons") else
             "[\n" + ",\n".join(json.dumps(one) for one in value) + "\n]") for name, value in out.items()]
    print("{\n" + ",\n".join(lines) + "\n}")


main(sys.argv[1:])
