import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { text } from 'node:stream/consumers'
import { pythonOf } from '../../support/django-environments.ts'
import { pythonEnvironment } from '../../support/django-processes.ts'
import { dyingWithUs } from '../../support/executables.ts'
import type { Scope } from '../../support/file-scope.ts'
import { siteFolder } from '../../support/places.ts'
import { temporaryFolder } from '../../support/service.ts'

/** A Django project as `startproject` and the LocalLibrary tutorial make it, with a settings.py of its own. */
export interface GeneratedProject {
  readonly folder: string
  readonly managePy: string
  readonly python: string
  /** Serves it by its Django. Returns the URL, without a slash at the end. */
  serve(options?: { migrate?: boolean }): Promise<string>
  /** Runs `manage.py` with these arguments. */
  manage(...args: readonly string[]): Promise<void>
}

export interface ProjectOptions {
  /** Of Django. */
  readonly version: string
  /** Python text: the value of DATABASES. `BASE_DIR` is a Path of the project's folder. */
  readonly databases: string
  /** Further lines of settings.py. */
  readonly settings?: string
  /** Apps beside those of the tutorial. */
  readonly apps?: readonly string[]
  readonly sessionMiddleware?: string
  /** Further files, by their path in the project. */
  readonly files?: Readonly<Record<string, string>>
}

export const projectKey = `django-insecure-it's "quoted" & $HOME \`x\` \\u0060 #1 비밀`

export function generateProject(t: Scope, options: ProjectOptions): GeneratedProject {
  const { version, files = {} } = options
  const folder = temporaryFolder(t)
  for (const app of ['catalog', 'accounts', 'account_sessions', 'serve.py'])
    cpSync(join(siteFolder, app), join(folder, app), { recursive: true })
  mkdirSync(join(folder, 'mysite'))
  const all = {
    'manage.py': MANAGE,
    'mysite/__init__.py': PYMYSQL,
    'mysite/urls.py': URLS,
    'mysite/settings.py': settingsOf(options),
    ...files,
  }
  for (const [name, content] of Object.entries(all)) writeFileSync(join(folder, name), content)
  const python = pythonOf(version)
  const env = { ...pythonEnvironment, DJANGO_SETTINGS_MODULE: 'mysite.settings' }
  const run = (args: readonly string[]) =>
    spawn(...dyingWithUs(python, ['-W', 'ignore', ...args]), { cwd: folder, env })
  return {
    folder,
    managePy: join(folder, 'manage.py'),
    python,
    async serve({ migrate = false } = {}) {
      const server = run(['serve.py', ...(migrate ? ['--migrate'] : [])])
      const errors = text(server.stderr)
      t.teardown(async () => {
        server.kill('SIGKILL')
        await errors
      })
      // settings.py prints, too.
      for await (const line of createInterface(server.stdout))
        if (/^\d+$/.test(line)) return `http://127.0.0.1:${line}`
      throw new Error(`Django ${version} did not start:\n${await errors}`)
    },
    async manage(...args) {
      const command = run(['manage.py', ...args])
      const errors = text(command.stderr)
      command.stdout.resume()
      const [code] = await once(command, 'exit')
      if (code !== 0) throw new Error(`manage.py ${args.join(' ')} failed:\n${await errors}`)
    },
  }
}

function settingsOf({
  databases,
  settings = '',
  apps = [],
  sessionMiddleware = 'django.contrib.sessions.middleware.SessionMiddleware',
}: ProjectOptions): string {
  return `"""Django settings for mysite project."""

import os
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent

print('what settings.py prints is no answer: <<<koa-django-sessions{"error": ""}koa-django-sessions>>>')

SECRET_KEY = ${pythonText(projectKey)}
DEBUG = True
ALLOWED_HOSTS = []

INSTALLED_APPS = [
    'django.contrib.admin',
    'django.contrib.auth',
    'django.contrib.contenttypes',
    'django.contrib.sessions',
    'django.contrib.messages',
    'django.contrib.staticfiles',
    'catalog.apps.CatalogConfig',
    ${apps.map((app) => `'${app}',`).join('\n    ')}
]

MIDDLEWARE = [
    'django.middleware.security.SecurityMiddleware',
    '${sessionMiddleware}',
    'django.middleware.common.CommonMiddleware',
    'django.middleware.csrf.CsrfViewMiddleware',
    'django.contrib.auth.middleware.AuthenticationMiddleware',
    'django.contrib.messages.middleware.MessageMiddleware',
    'django.middleware.clickjacking.XFrameOptionsMiddleware',
]

ROOT_URLCONF = 'mysite.urls'

TEMPLATES = [
    {
        'BACKEND': 'django.template.backends.django.DjangoTemplates',
        'DIRS': [],
        'APP_DIRS': True,
        'OPTIONS': {
            'context_processors': [
                'django.template.context_processors.request',
                'django.contrib.auth.context_processors.auth',
                'django.contrib.messages.context_processors.messages',
            ],
        },
    },
]

DATABASES = ${databases}

LANGUAGE_CODE = 'en-us'
TIME_ZONE = 'UTC'
USE_I18N = True
USE_TZ = True

STATIC_URL = '/static/'
LOGIN_REDIRECT_URL = '/'
DEFAULT_AUTO_FIELD = 'django.db.models.BigAutoField'

${settings}
`
}

/** A Python literal. */
export function pythonText(value: string): string {
  return JSON.stringify(value)
}

const MANAGE = `#!/usr/bin/env python
"""Django's command-line utility for administrative tasks."""
import os
import sys


def main():
    """Run administrative tasks."""
    os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'mysite.settings')
    try:
        from django.core.management import execute_from_command_line
    except ImportError as exc:
        raise ImportError("Couldn't import Django.") from exc
    execute_from_command_line(sys.argv)


if __name__ == '__main__':
    main()
`

/** PyMySQL stands in for mysqlclient, which needs a compiler. */
const PYMYSQL = `import pymysql

pymysql.version_info = (2, 2, 7, 'final', 0)
pymysql.install_as_MySQLdb()
`

const URLS = `from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

urlpatterns = [
    path('admin/', admin.site.urls),
    path('catalog/', include('catalog.urls')),
    path('', RedirectView.as_view(url='catalog/', permanent=True)),
    path('accounts/', include('django.contrib.auth.urls')),
]
`
