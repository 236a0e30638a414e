"""Serves the site on a free port of 127.0.0.1, a thread a request; prints the port; ends when its standard input does.

Everything is Django's own `runserver` but the autoreloader. Static files are served with DEBUG off too.
"""

import os
import sys
import threading

import django
from django.contrib.staticfiles.handlers import StaticFilesHandler
from django.contrib.staticfiles.views import serve
from django.core.management import call_command
from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler
from django.core.wsgi import get_wsgi_application


class StaticFiles(StaticFilesHandler):
    def serve(self, request):
        return serve(request, self.file_path(request.path), insecure=True)


class QuietRequestHandler(WSGIRequestHandler):
    def log_message(self, *args):
        pass


class Server(ThreadedWSGIServer):
    daemon_threads = True
    request_queue_size = 128


django.setup()
if '--migrate' in sys.argv:
    call_command('migrate', run_syncdb=True, verbosity=0, interactive=False)
server = Server(('127.0.0.1', 0), QuietRequestHandler, ipv6=False)
server.set_app(StaticFiles(get_wsgi_application()))
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.server_port, flush=True)
sys.stdin.read()
os._exit(0)
