"""Runs a script in a fork of fork_server.py, on the standard streams of this process: `fork_client.py SOCKET ARGS`.

`python -I -S` starts it in a hundredth of a second: it imports only what Python has built in.
"""

import os
import sys

import _socket

args = [os.fsencode(each) for each in sys.argv[2:]]
fields = args + [os.fsencode(os.getcwd())] + [b'='.join(each) for each in os.environb.items()]
body = b'\0'.join(fields)
streams = b''.join(number.to_bytes(4, sys.byteorder) for number in range(3))

server = _socket.socket(_socket.AF_UNIX)
server.connect(sys.argv[1])
server.sendmsg([b'%8d%8d' % (len(body), len(args))], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, streams)])
server.sendall(body)
status = server.recv(1)
os._exit(status[0] if status else 1)
