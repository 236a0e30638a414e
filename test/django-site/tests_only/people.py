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
@require_http_methods(['GET', 'POST', 'PUT', 'DELETE'])
def user(request):
    """GET: who the visitor is. POST `{"username", "password"}`: logs in. PUT `{"username", "backend"}`: without password. DELETE: logs out."""
    if request.method == 'POST':
        found = auth.authenticate(request, **json.loads(request.body.decode()))
        if found is None:
            return JsonResponse({}, status=403)
        auth.login(request, found)
    if request.method == 'PUT':
        given = json.loads(request.body.decode())
        backend = given.pop('backend', 'django.contrib.auth.backends.ModelBackend')
        auth.login(request, auth.get_user_model().objects.get(**given), backend=backend)
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
        'superuser': getattr(one, 'is_superuser', False),
        'lastLogin': milliseconds(getattr(one, 'last_login', None)),
        **(rights(one) if hasattr(one, 'get_all_permissions') else {}),
    })


def rights(one):
    return {
        'permissions': sorted(one.get_all_permissions()),
        'returns': one.has_perm('catalog.can_mark_returned'),
        'both': one.has_perms(['catalog.can_mark_returned', 'catalog.add_book']),
        'modules': [app for app in ['auth', 'catalog', 'nowhere'] if one.has_module_perms(app)],
    }


def milliseconds(time):
    return time and int(time.timestamp()) * 1000 + time.microsecond // 1000


@csrf_exempt
@require_http_methods(['POST', 'PUT'])
def people(request):
    """POST: makes users, `[{"username", "password", "hasher", "permissions", "group", …}]`. PUT: sets fields of one."""
    User = auth.get_user_model()
    given = json.loads(request.body.decode())
    if request.method == 'PUT':
        one = User.objects.get(**{User.USERNAME_FIELD: given['username']})
        for name, value in given.items():
            if name == 'password':
                one.set_password(value)
            elif name != 'username':
                setattr(one, name, value)
        one.save()
        return JsonResponse({})
    for fields in given:
        fields[User.USERNAME_FIELD] = fields.pop('username')
        permissions, group = fields.pop('permissions', []), fields.pop('group', [])
        hasher = get_hasher(fields.pop('hasher', 'pbkdf2_sha256'))
        cost = fields.pop('cost', 'least')
        if 'password' in fields:
            if cost == 'least' and hasattr(hasher, 'iterations'):
                encoded = hasher.encode(fields.pop('password'), hasher.salt() + 'and some more', 1000)
            else:
                encoded = make_password(fields.pop('password'), hasher=hasher)
            fields['password'] = encoded
        one = User.objects.create(**fields)
        if permissions:
            one.user_permissions.set([permission(name) for name in permissions])
        if group:
            members = Group.objects.create(name='of %s' % one.get_username())
            members.permissions.set([permission(name) for name in group])
            one.groups.add(members)
    return JsonResponse({})
