"""What tests do to a session from outside, through Django's real middleware. LocalLibrary has nothing like it."""

import json

from django.http import HttpResponse
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
