"""What tests do to users from outside, through Django's real middleware and `django.contrib.auth`."""

import json

from django.contrib import auth
from django.contrib.auth.hashers import get_hasher, make_password
from django.contrib.auth.models import Group, Permission
from django.http import JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods


def permission(name):
    app_label, codename = name.split('.')
    return Permission.objects.get(content_type__app_label=app_label, codename=codename)


@csrf_exempt
@require_http_methods(['GET', 'POST', 'DELETE'])
def user(request):
    """GET: who the visitor is. POST `{"username", "password"}`: logs in. DELETE: logs out."""
    if request.method == 'POST':
        found = auth.authenticate(request, **json.loads(request.body.decode()))
        if found is None:
            return JsonResponse({}, status=403)
        auth.login(request, found)
    if request.method == 'DELETE':
        auth.logout(request)
    one = request.user
    if not one.is_authenticated:
        return JsonResponse(None, safe=False)
    return JsonResponse({
        'id': str(one.pk),
        'username': one.get_username(),
        'name': one.get_full_name() if hasattr(one, 'get_full_name') else '',
        'active': one.is_active,
        'staff': getattr(one, 'is_staff', False),
        'superuser': one.is_superuser,
        'permissions': sorted(one.get_all_permissions()),
        'returns': one.has_perm('catalog.can_mark_returned'),
        'both': one.has_perms(['catalog.can_mark_returned', 'catalog.add_book']),
        'modules': [app for app in ['auth', 'catalog', 'nowhere'] if one.has_module_perms(app)],
        'lastLogin': one.last_login and int(one.last_login.timestamp()) * 1000 + one.last_login.microsecond // 1000,
    })


@csrf_exempt
@require_http_methods(['POST', 'PUT'])
def people(request):
    """POST: makes users, `[{"username", "password", "hasher", "permissions", "group", …}]`. PUT: sets a password."""
    User = auth.get_user_model()
    given = json.loads(request.body.decode())
    if request.method == 'PUT':
        one = User.objects.get(**{User.USERNAME_FIELD: given['username']})
        one.set_password(given['password'])
        one.save()
        return JsonResponse({})
    for fields in given:
        fields[User.USERNAME_FIELD] = fields.pop('username')
        permissions, group = fields.pop('permissions', []), fields.pop('group', [])
        hasher = get_hasher(fields.pop('hasher', 'pbkdf2_sha256'))
        cost = fields.pop('cost', 'least')
        if cost == 'least' and hasattr(hasher, 'iterations'):
            encoded = hasher.encode(fields.pop('password'), hasher.salt() + 'and some more', 1000)
        else:
            encoded = make_password(fields.pop('password'), hasher=hasher)
        one = User.objects.create(password=encoded, **fields)
        one.user_permissions.set([permission(name) for name in permissions])
        if group:
            members = Group.objects.create(name='of %s' % one.get_username())
            members.permissions.set([permission(name) for name in group])
            one.groups.add(members)
    return JsonResponse({})
