"""Forms and messages, to exchange with a site that is not Django's."""

import json

from django.contrib import messages as django_messages
from django.http import HttpResponse
from django.middleware.csrf import rotate_token
from django.template import engines
from django.utils.safestring import SafeData, mark_safe

FORM = '<form method="post">{% csrf_token %}<input name="text"></form>'


def form(request):
    """GET: a form. POST: adds each message of a JSON list [[level, text, extra tags, safe]] in the field `messages`."""
    if request.method == 'GET':
        return HttpResponse(engines['django'].from_string(FORM).render({}, request))
    for level, text, extra_tags, is_safe in json.loads(request.POST.get('messages', '[]')):
        django_messages.add_message(request, level, mark_safe(text) if is_safe else text, extra_tags=extra_tags)
    return HttpResponse('done')


def messages(request):
    """Shows them: [[level, text, tags, safe]]."""
    storage = django_messages.get_messages(request)
    # As templates do: `{% if messages %}`, and only then `{% for message in messages %}`.
    shown = [[one.level, str(one.message), one.tags, isinstance(one.message, SafeData)] for one in storage] if storage else []
    return HttpResponse(json.dumps(shown), content_type='application/json')


def rotate(request):
    """What `login` does."""
    rotate_token(request)
    return HttpResponse('done')
