"""Records what real Django's message storages write and read, one Django per PYTHON.

    python3 test/django/messages.py PYTHON… > test/vectors/messages.json

`djangos` has for each Django: `written`, for each list of messages the text in the session, the value of the cookie, and
the number of messages without room in it when the oldest or the newest are dropped; `read`, for each cookie and each
session text (`asked`) the messages, and whether the cookie contained all of them. null: none; a text: the exception that
Django raises. A message is [level, text, extra tags, safe]. All is signed at the second `time` with the keys `keys`.
"""

import json
import random
import subprocess
import sys

READER = """
import json, sys, time
import django
from django.conf import settings
asked = json.load(sys.stdin)
settings.configure(SECRET_KEY=asked["keys"][0], SECRET_KEY_FALLBACKS=asked["keys"][1:])
time.time = lambda: asked["time"]
from django.contrib.messages.storage.base import Message
from django.contrib.messages.storage.cookie import CookieStorage
from django.contrib.messages.storage.session import SessionStorage
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeData, mark_safe

def storage_of(kind, session=None, cookie=None):
    request = HttpRequest()
    request.session = {} if session is None else {"_messages": session}
    if cookie is not None:
        request.COOKIES["messages"] = cookie
    return kind(request)

def build(level, text, extra_tags, safe):
    return Message(level, mark_safe(text) if safe else text, extra_tags=extra_tags)

def plain(message):
    if not isinstance(message, Message):
        return {"other": type(message).__name__}
    return [message.level, str(message.message), message.extra_tags, isinstance(message.message, SafeData)]

def written(messages):
    def store(remove_oldest):
        response = HttpResponse()
        unstored = storage_of(CookieStorage)._store([build(*one) for one in messages], response, remove_oldest=remove_oldest)
        return response.cookies["messages"].value, len(unstored)
    session = storage_of(SessionStorage)
    session._store([build(*one) for one in messages], None)
    cookie, oldest = store(True)
    other, newest = store(False)
    return {"session": session.request.session.get("_messages"), "cookie": cookie, "oldest": oldest, "newest": newest}

def read(storage):
    try:
        messages, complete = storage._get()
        if not isinstance(messages, list):
            return messages and {"other": type(messages).__name__}
        return [[plain(one) for one in messages], complete]
    except Exception as error:
        return type(error).__name__

json.dump({"django": django.get_version(), "python": sys.version.split()[0],
           "written": [written(one) for one in asked["written"]],
           "cookies": [read(storage_of(CookieStorage, cookie=one)) for one in asked.get("cookies", [])],
           "sessions": [read(storage_of(SessionStorage, session=one)) for one in asked.get("sessions", [])]}, sys.stdout)
"""

# Signs values that Django never writes, in each of its formats.
FORGER = """
import json, sys, time, zlib
from django.conf import settings
asked = json.load(sys.stdin)
settings.configure(SECRET_KEY=asked["keys"][0])
time.time = lambda: asked["time"]
from django.core import signing
from django.utils.crypto import salted_hmac
signer = signing.get_cookie_signer(salt="django.contrib.messages")
forged = []
for text in asked["texts"]:
    forged.append(salted_hmac("django.contrib.messages", text).hexdigest() + "$" + text)
    forged.append(signer.sign(text))
    forged.append(signer.sign(signing.b64_encode(text.encode()).decode()))
    forged.append(signer.sign("." + signing.b64_encode(zlib.compress(text.encode())).decode()))
forged += [signer.sign(".AAAA"), signer.sign("."), signer.sign(""), signing.Signer().sign("x")]
json.dump(forged, sys.stdout)
"""

KEYS = ["a key of the messages: 비밀", "an older key"]
TIME = 1700000000
chance = random.Random(1970)
noise = lambda length: "".join(chance.choice("0123456789abcdef") for _ in range(length))

LISTS = [
    [],
    [[20, "Hello", "", False]],
    [[25, "Saved <b>it</b>", "", True], [40, "Not \"that\" & 'this', 홍길동 😀; \\ \u2028", "big red", False]],
    [[10, "no tags", None, False], [20, "empty tags", "", True], [999, "own level", "x", False], [0, "", "", False]],
    [[20, "the same again and again " * 40, "", False]],
    [[20, "incompressible " + noise(300), "", False] for _ in range(3)],
    [[20, noise(400), "n%d" % i, False] for i in range(12)],
    [[20, noise(2500), "", False]],
    [[20, "first", "", False], [20, noise(2500), "", False], [20, "last", "", False]],
    [[20, "m%d" % i, "", False] for i in range(150)],
]
TEXTS = [
    "[]", "{}", "null", "5", '"text"', "", "no JSON", '["__json_message"]', '["__json_message",0,20,"bare"]', '["plain", 5, null]',
    '[["__json_message",0,20,"a","b","c"]]', '[["__json_message",0,"20","level as text"]]',
    '[["__json_message",0,20.5,"float"]]', '[["__json_message",0,null,"none"]]', '[["__json_message",0,true,"boolean"]]',
    '[["__json_message",0,20,"fine",null],["__json_message",2,20,"very safe","t"],["other"]]',
    '[["__json_message",0,20,"fine"],"__messagesnotfinished__"]', '["__messagesnotfinished__"]',
    '["__messagesnotfinished__",["__json_message",0,20,"after"]]', '[["__json_message", 0, 20, "blanks" , ""] ]',
    '[{"a":["__json_message",0,20,"in a dict"]},[["__json_message",0,20,"in a list"]]]', '[["__json_message",0,20,"\\ud83d"]]',
]


def run(python, script, asked):
    done = subprocess.run([python, "-W", "ignore", "-c", script], input=json.dumps(asked), capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def main(pythons):
    asked = {"keys": KEYS, "time": TIME, "written": LISTS}
    cookies, sessions = [], []
    for python in pythons:
        for one in run(python, READER, asked)["written"]:
            cookies.append(one["cookie"])
            sessions.append(one["session"])
        for one in run(python, READER, dict(asked, keys=KEYS[1:], written=LISTS[:3]))["written"]:
            cookies.append(one["cookie"])
        cookies += run(python, FORGER, dict(asked, texts=TEXTS))
    cookies += [one[:-1] + ("A" if one[-1] != "A" else "B") for one in cookies if one][::40]
    cookies += ["", "$", ":", "a$b", "a:b:c", "é", '"']
    asked["cookies"] = list(dict.fromkeys(one for one in cookies if one is not None))
    asked["sessions"] = list(dict.fromkeys(json.dumps(one) for one in sessions + TEXTS + [[], ["plain"], {}, 5, True, None]))
    asked["sessions"] = [json.loads(one) for one in asked["sessions"]]
    out = {"keys": KEYS, "time": TIME, "lists": LISTS, "cookies": asked["cookies"], "sessions": asked["sessions"]}
    runs = [run(python, READER, asked) for python in pythons]
    lines = ['"%s": %s' % (name, json.dumps(value)) for name, value in out.items()]
    print("{\n%s,\n\"djangos\": [\n%s\n]\n}" % (",\n".join(lines), ",\n".join(
        "{" + ",\n".join("%s: %s" % (json.dumps(name), json.dumps(value)) for name, value in one.items()) + "}" for one in runs)))


main(sys.argv[1:])
