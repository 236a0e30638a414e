"""Django's SessionMiddleware, whose answers tell a refusal from an error of the database."""

from django.contrib.sessions.exceptions import SessionInterrupted
from django.contrib.sessions.middleware import SessionMiddleware
from django.db import Error
from django.http import JsonResponse


class RefusingSessionMiddleware(SessionMiddleware):
    """
    Django says of each error of the database during a save that the session was deleted
    (django/contrib/sessions/backends/db.py, save). After an error, the change may be stored or not.
    """

    def process_response(self, request, response):
        try:
            return super().process_response(request, response)
        except SessionInterrupted as interrupted:
            if comes_from_driver(interrupted):
                raise
            return JsonResponse({'outcome': 'gone'}, status=400)


def comes_from_driver(error):
    """Django sets the cause of its error to the error of the driver (django/db/utils.py, DatabaseErrorWrapper)."""
    while error is not None:
        if isinstance(error, Error) and error.__cause__ is not None:
            return True
        error = error.__cause__ or error.__context__
    return False
