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

name = ('username', models.CharField(max_length=150, unique=True))
renamed = migrations.CreateModel(
    name='Renamed',
    fields=[
        ('id', models.AutoField(primary_key=True, serialize=False)),
        ('username', models.CharField(db_column='login', max_length=150, unique=True)),
        ('password', models.CharField(db_column='pw', max_length=128)),
        ('last_login', models.DateTimeField(blank=True, db_column='seen', null=True)),
        ('is_active', models.BooleanField(db_column='enabled', default=True)),
        ('is_staff', models.BooleanField(db_column='crew', default=False)),
        ('is_superuser', models.BooleanField(db_column='root', default=False)),
        ('first_name', models.CharField(blank=True, db_column='given', max_length=150)),
        *relations,
    ],
)
computed = migrations.CreateModel(
    name='Computed',
    fields=[
        ('id', models.AutoField(primary_key=True, serialize=False)),
        *login[:2],
        name,
        ('level', models.IntegerField(default=1)),
        ('is_admin', models.BooleanField(default=False)),
    ],
)
stamped = migrations.CreateModel(
    name='Stamped',
    fields=[
        *[field for field in account.fields if field[0] != 'id'],
        ('id', models.AutoField(primary_key=True, serialize=False)),
        ('stamp', models.CharField(default='first', max_length=32)),
    ],
    managers=[('objects', django.contrib.auth.models.UserManager())],
)
bare = migrations.CreateModel(
    name='Bare',
    fields=[
        ('id', models.AutoField(primary_key=True, serialize=False)),
        login[0],
        name,
        ('is_active', models.BooleanField(default=True)),
    ],
)
passwordless = migrations.CreateModel(
    name='Passwordless',
    fields=[('id', models.AutoField(primary_key=True, serialize=False)), login[1], name],
)
made = {'accounts.%s' % one.name: one for one in [member, account, renamed, computed, stamped, bare, passwordless]}


class Migration(migrations.Migration):
    initial = True
    dependencies = [('auth', '0011_update_proxy_permissions')]
    operations = [made[settings.AUTH_USER_MODEL]]
