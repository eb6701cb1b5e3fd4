"""A network of its own whose packets can be made to vanish while connections stay open."""

import contextlib
import ctypes
import fcntl
import os
import selectors
import socket
import struct
import subprocess
import threading

CLONE_NEWNET = 0x40000000
TUNSETIFF = 0x400454CA
IFF_TUN_NO_PI = 0x1001


def is_possible():
    """Whether this user may make networks here."""
    made = []
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        in_a_space_of_its_own(lambda: made.append(os.close(tunnel("far-try", "198.18.255.253", "198.18.255.254"))))
    return bool(made)


def in_a_space_of_its_own(work):
    """Runs `work` in a thread that has a network namespace of its own; what it opens stays there, and keeps it."""
    errors = []

    def run():
        try:
            if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "unshare")
            work()
        except (OSError, subprocess.CalledProcessError) as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]


def tunnel(name, here, there):
    """A network interface whose packets this process carries; returns its file."""
    file = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(file, TUNSETIFF, struct.pack("16sH", name.encode(), IFF_TUN_NO_PI))
    for words in (["address", "add", here, "peer", there, "dev", name], ["link", "set", name, "up"]):
        subprocess.run(["ip", *words], check=True, capture_output=True)
    return file


class FarSide:
    """Relays to a server on this machine from an address in another network namespace.

    With `is_cut` no packet passes: neither an answer nor an acknowledgement nor a reset comes back, on open connections and
    for new ones alike.
    """

    def __init__(self, port):
        self._port = port
        self.is_cut = False
        # The range for benchmarks (RFC 2544); every process has its own link.
        self._number = os.getpid() % 16000
        third, fourth = divmod(self._number * 4, 256)
        self.near, self.host = (f"198.18.{third}.{fourth + side}" for side in (1, 2))
        self._files = []
        self._connections = []

    def __enter__(self):
        name = f"far{self._number}"
        self._files.append(tunnel(name, self.near, self.host))
        in_a_space_of_its_own(lambda: self._settle(name))
        self.endpoint = f"http://{self.host}:{self._listener.getsockname()[1]}"
        self._quit, quitting = os.pipe()
        self._files += [quitting]
        self._carrier = threading.Thread(target=self._carry)
        self._carrier.start()
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def _settle(self, name):
        self._files.append(tunnel(name, self.host, self.near))
        self._listener = socket.create_server((self.host, 0))

    def __exit__(self, *_):
        os.close(self._files.pop())
        self._carrier.join()
        for file in (*self._files, self._quit):
            os.close(file)
        self._listener.close()
        for connection in self._connections:
            connection.close()

    def _carry(self):
        """Carries packets between the two ends, until the pipe is closed."""
        near, far = self._files[:2]
        other = {near: far, far: near}
        with selectors.DefaultSelector() as ready:
            for file in (near, far, self._quit):
                ready.register(file, selectors.EVENT_READ)
            while True:
                for key, _ in ready.select():
                    if key.fd == self._quit:
                        return
                    packet = os.read(key.fd, 65536)
                    if not self.is_cut:
                        os.write(other[key.fd], packet)

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._port))
                self._connections += [near, far]
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=pump, args=(source, sink), daemon=True).start()


def pump(source, sink):
    with contextlib.suppress(OSError):
        while part := source.recv(65536):
            sink.sendall(part)
        sink.shutdown(socket.SHUT_WR)
