"""What tests do to a session from outside, through Django's real middleware. LocalLibrary has nothing like it."""

import json

from django.apps import apps
from django.http import HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods


@csrf_exempt
@require_http_methods(['GET', 'POST', 'DELETE'])
def session(request):
    """GET: the session as Django prints its JSON. POST: sets each item of a JSON object, in its order. DELETE: flush."""
    if request.method == 'POST':
        for key, value in json.loads(request.body.decode()).items():
            request.session[key] = value
    if request.method == 'DELETE':
        request.session.flush()
    data = dict(request.session.items())
    return HttpResponse(json.dumps(data, separators=(',', ':')), content_type='application/json')


@require_http_methods(['GET'])
def rows(request, app):
    """The sessions of an app's own model, by key: each of its columns, and its data."""
    sessions = apps.get_model(app, 'Session').objects.all()
    return JsonResponse({session.pk: dict(
        ((field.attname, getattr(session, field.attname)) for field in session._meta.concrete_fields),
        data=session.get_decoded(),
    ) for session in sessions})
