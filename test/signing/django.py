"""Signs and verifies with real Django; None for what this version does not have. Input: {"signed": {name: text}, …}. Output: {"made": …, "read": …}, one JSON text."""
import datetime
import inspect
import json
import sys

from django.conf import settings
from django.contrib.auth.tokens import PasswordResetTokenGenerator
from django.core import signing
from django.http import HttpRequest, HttpResponse
from django.utils.crypto import salted_hmac

given = json.load(sys.stdin)
UTC = datetime.timezone.utc


class User:
    def __init__(self, pk, password, last_login, email):
        self.pk, self.password, self.email = pk, password, email
        self.last_login = last_login and datetime.datetime.fromtimestamp(last_login, UTC if settings.USE_TZ else None)
        self.is_active = True

    @staticmethod
    def get_email_field_name():
        return "email"


def outcome(work):
    try:
        return {"returns": work()}
    except Exception as error:
        return {"raises": type(error).__name__}


def cookie(name, value, salt):
    response = HttpResponse()
    response.set_signed_cookie(name, value, salt=salt)
    return response.cookies[name].value


def read_cookie(name, value, **options):
    request = HttpRequest()
    request.COOKIES[name] = value
    return request.get_signed_cookie(name, **options)


CLASSES = {"Signer": signing.Signer, "TimestampSigner": signing.TimestampSigner}


def sign_objects():
    return [
        [name, json.dumps(value), salt, sep, cls(salt=salt, sep=sep).sign_object(value, compress=compress)]
        for name, cls in CLASSES.items()
        for value in given["objects"]
        for compress in (False, True)
        for salt, sep in ((None, ":"), ("elsewhere", "/"))
    ]


def sha256(salt, value, secret):
    return salted_hmac(salt, value, secret=secret, algorithm="sha256").hexdigest()


made = {
    "sign": [[salt, sep, value, signing.Signer(salt=salt, sep=sep).sign(value)] for salt, sep, value in given["values"]],
    "stamped": [
        [salt, sep, value, signing.TimestampSigner(salt=salt, sep=sep).sign(value)] for salt, sep, value in given["values"]
    ],
    "dumps": [
        [json.dumps(value), compress, salt, signing.dumps(value, salt=salt or "django.core.signing", compress=compress)]
        for value in given["objects"]
        for compress in (False, True)
        for salt in (None, "elsewhere")
    ],
    "objects": sign_objects() if hasattr(signing.Signer, "sign_object") else None,
    "cookies": [[name, value, salt, cookie(name, value, salt)] for name, value, salt in given["cookies"]],
    "hmac": [[salt, value, salted_hmac(salt, value, secret=secret).hexdigest(), secret] for salt, value, secret in given["hmacs"]],
    "sha256": [[salt, value, sha256(salt, value, secret), secret] for salt, value, secret in given["hmacs"]]
    if "algorithm" in inspect.signature(salted_hmac).parameters
    else None,
    "tokens": [[user, PasswordResetTokenGenerator().make_token(User(**user))] for user in given["users"]],
}

ours = given.get("ours")
read = ours and {
    "sign": [outcome(lambda: signing.Signer(salt=salt, sep=sep).unsign(text)) for salt, sep, text in ours["sign"]],
    "stamped": [
        outcome(lambda: signing.TimestampSigner(salt=salt, sep=sep).unsign(text, max_age=1000)) for salt, sep, text in ours["stamped"]
    ],
    "dumps": [outcome(lambda: signing.loads(text, salt=salt or "django.core.signing")) for salt, text in ours["dumps"]],
    "objects": hasattr(signing.Signer, "sign_object")
    and [outcome(lambda: CLASSES[name](salt=salt, sep=sep).unsign_object(text)) for name, salt, sep, text in ours["objects"]],
    "cookies": [outcome(lambda: read_cookie(name, text, salt=salt, max_age=1000)) for name, salt, text in ours["cookies"]],
    "tokens": [PasswordResetTokenGenerator().check_token(User(**user), token) for user, token in ours["tokens"]],
}
print(json.dumps({"made": made, "read": read}))
