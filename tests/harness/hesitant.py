"""A program that is kept waiting right after the kernel has let a client in, as on a machine that is too busy."""

import subprocess
import tempfile
from pathlib import Path

from fleet import until

# Instead of the C library's own. Whoever comes by a unix socket is left alone: that is the admin door.
_ACCEPT = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int accept4(int door, struct sockaddr *address, socklen_t *length, int flags) {
    int (*accept)(int, struct sockaddr *, socklen_t *, int) = dlsym(RTLD_NEXT, "accept4");
    int client = accept(door, address, length, flags);
    if (client >= 0 && address && address->sa_family == AF_INET) {
        close(open(getenv("HESITANT_TOLD"), O_CREAT | O_CLOEXEC, 0600));
        while (access(getenv("HESITANT_GATE"), F_OK) == 0) {
            usleep(1000);
        }
    }
    return client;
}
"""


class Hesitation:
    """Whoever is started with `env` hesitates until `release`; use it in a `with` statement."""

    def __enter__(self):
        self._directory = tempfile.TemporaryDirectory(prefix="ironic-proxy-")
        library, self._told, self._gate = (Path(self._directory.name, name) for name in ("hesitant.so", "told", "gate"))
        command = ["cc", "-shared", "-fPIC", "-w", "-x", "c", "-", "-o", library, "-ldl"]
        subprocess.run(command, input=_ACCEPT, text=True, check=True)
        self._gate.touch()
        self.env = {"LD_PRELOAD": str(library), "HESITANT_TOLD": str(self._told), "HESITANT_GATE": str(self._gate)}
        return self

    def __exit__(self, *_):
        self.release()
        self._directory.cleanup()

    def wait(self):
        """Until a client is let in."""
        until(self._told.exists, what="a client who is let in", pause=0.01)

    def release(self):
        self._gate.unlink(missing_ok=True)
