"""What the tests of programs that run by themselves share: where the tools are, ports, certificates' program."""
import os
import socket
import subprocess


def tool(name):
    """Where ./dev test puts it, or where it is installed; None when it is not there."""
    places = [os.path.join(os.environ.get('KELES_TOOLS', ''), name), '/usr/bin/' + name]
    return next((p for p in places if os.path.isabs(p) and os.access(p, os.X_OK)), None)


def free_port():
    """Free now."""
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


def on_free_port(make, tries=5):
    """make(port), which says ChildProcessError when it ends: a port that was free may be taken by now, then
    with another."""
    for left in range(tries - 1, -1, -1):
        try:
            return make(free_port())
        except ChildProcessError as e:
            if left == 0 or 'listen' not in str(e):
                raise


def openssl(*args):
    subprocess.run(('openssl',) + args, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
