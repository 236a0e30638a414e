import uuid

import django.contrib.auth.models
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

relations = [
    ('groups', models.ManyToManyField(blank=True, related_name='user_set', related_query_name='user', to='auth.Group')),
    (
        'user_permissions',
        models.ManyToManyField(blank=True, related_name='user_set', related_query_name='user', to='auth.Permission'),
    ),
]
login = [
    ('password', models.CharField(max_length=128)),
    ('last_login', models.DateTimeField(blank=True, null=True)),
    ('is_superuser', models.BooleanField(default=False)),
]
member = migrations.CreateModel(
    name='Member',
    fields=[
        *login,
        ('member_id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
        ('email', models.EmailField(max_length=254, unique=True)),
        *relations,
    ],
)
account = migrations.CreateModel(
    name='Account',
    fields=[
        *login,
        ('id', models.BigAutoField(primary_key=True, serialize=False)),
        ('username', models.CharField(max_length=150, unique=True)),
        ('first_name', models.CharField(blank=True, max_length=150)),
        ('last_name', models.CharField(blank=True, max_length=150)),
        ('email', models.EmailField(blank=True, max_length=254)),
        ('is_staff', models.BooleanField(default=False)),
        ('is_active', models.BooleanField(default=True)),
        ('date_joined', models.DateTimeField(default=django.utils.timezone.now)),
        *relations,
    ],
    options={'db_table': 'People of ours'},
    managers=[('objects', django.contrib.auth.models.UserManager())],
)


class Migration(migrations.Migration):
    initial = True
    dependencies = [('auth', '0011_update_proxy_permissions')]
    operations = [member if settings.AUTH_USER_MODEL == 'accounts.Member' else account]
