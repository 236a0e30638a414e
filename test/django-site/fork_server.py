"""Runs the scripts of this folder in forks of itself, where Django is imported already: `fork_server.py SOCKET`.

fork_client.py connects once for each script. It sends its standard streams, its arguments, its working folder and its
environment. When the script ends, it gets one byte: the exit status. When the connection ends first, the script is killed.
The server prints a line when it listens. When its standard input ends, it kills its scripts and ends.
"""

import importlib
import os
import runpy
import selectors
import signal
import socket
import sys
import traceback
import types

SITE = os.path.dirname(os.path.abspath(__file__))
SETTINGS = {'DJANGO_SETTINGS_MODULE': 'locallibrary.settings', 'SECRET_KEY': 'unused', 'DATABASE_URL': 'sqlite:'}
USED = [
    'django.contrib.staticfiles.handlers',
    'django.contrib.staticfiles.views',
    'django.core.servers.basehttp',
    'locallibrary.urls',
]
USED_BY_SOME = ['django.db.backends.mysql.base', 'django.db.backends.postgresql.base', 'django.test.utils', 'redis', 'pymemcache']


def names_to_import():
    """The names of all modules that serving the site imports, except the site's own. Found in a fork, which has settings."""
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.environ.update(SETTINGS)
        import django
        from django.core.wsgi import get_wsgi_application

        django.setup()
        get_wsgi_application()
        for name in USED:
            importlib.import_module(name)
        for name in USED_BY_SOME:
            try:
                importlib.import_module(name)
            except Exception:
                pass
        foreign = [
            name for name, module in sys.modules.items() if not (getattr(module, '__file__', None) or '').startswith(SITE)
        ]
        os.write(writer, '\n'.join(foreign).encode())
        os._exit(0)
    os.close(writer)
    with open(reader) as names:
        text = names.read()
    os.wait()
    return text.splitlines()


def import_django():
    """Imports all modules that need no settings. A module that needs some fails here, and is left to the forks."""
    for name in names_to_import():
        try:
            importlib.import_module(name)
        except Exception:
            pass


def receive(connection):
    """The three streams, and the arguments, the working folder and the environment of a script."""
    head, ancillary, _, _ = connection.recvmsg(16, socket.CMSG_SPACE(12))
    [(_, _, numbers)] = ancillary
    streams = [int.from_bytes(numbers[at : at + 4], sys.byteorder) for at in (0, 4, 8)]
    size, count = int(head[:8]), int(head[8:])
    body = b''
    while len(body) < size:
        part = connection.recv(size - len(body))
        if not part:
            raise EOFError
        body += part
    fields = body.split(b'\0')
    environment = dict(field.split(b'=', 1) for field in fields[count + 1 :])
    return streams, fields[:count], fields[count], environment


def run(streams, args, folder, environment):
    """Does what `python ARGS` does with these streams, in this folder, with this environment; never returns."""
    status = 1
    try:
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        os.chdir(folder)
        os.environb.clear()
        os.environb.update(environment)
        script, *rest = [os.fsdecode(each) for each in args]
        if script == '-c':
            code, *rest = rest
            sys.argv = [script] + rest
            main = sys.modules['__main__'] = types.ModuleType('__main__')  # a script may import itself
            exec(compile(code, '<string>', 'exec'), main.__dict__)
        else:
            sys.argv = [script] + rest
            runpy.run_path(script, run_name='__main__')
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(status)


def serve(listener):
    ended, wakeup = os.pipe()
    for end in ended, wakeup:
        os.set_blocking(end, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wakeup)
    selector = selectors.DefaultSelector()
    for source in 0, ended, listener:
        selector.register(source, selectors.EVENT_READ)
    connections = {}

    def start(connection):
        what = receive(connection)
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            selector.close()
            for other in [listener, connection, *connections.values()]:
                other.close()
            os.close(ended)
            os.close(wakeup)
            run(*what)
        for stream in what[0]:
            os.close(stream)
        connections[pid] = connection
        selector.register(connection, selectors.EVENT_READ, pid)

    def reap():
        os.read(ended, 4096)
        while connections:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            connection = connections.pop(pid)
            if connection in selector.get_map():
                selector.unregister(connection)
            code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)
            try:
                connection.send(bytes([code]))
            except OSError:
                pass  # the client has ended
            connection.close()

    while True:
        for key, _ in selector.select():
            if key.fileobj == 0:
                for pid in connections:
                    os.kill(pid, signal.SIGKILL)
                return
            elif key.fileobj == ended:
                reap()
            elif key.fileobj is listener:
                connection, _ = listener.accept()
                try:
                    start(connection)
                except (EOFError, OSError, ValueError):
                    connection.close()
            elif key.data in connections:
                selector.unregister(key.fileobj)
                os.kill(key.data, signal.SIGKILL)


if __name__ == '__main__':
    import_django()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(sys.argv[1])
        listener.listen(128)
        print('ready', flush=True)
        serve(listener)
