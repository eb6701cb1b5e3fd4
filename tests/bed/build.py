"""The gateway's own build."""

import json
import os
import shutil
import subprocess
from pathlib import Path

from bed import venvs


def gateway(*options):
    """Build the binary with `options` (`--release`) and return its path.

    $IRONIC_PROXY_BINARY names one that is there already; nothing is built then.
    """
    ready = os.environ.get("IRONIC_PROXY_BINARY")
    if ready:
        return Path(ready).resolve()
    if shutil.which("cargo") is None:
        raise venvs.CannotInstall("Please install a Rust toolchain (https://rustup.rs) and start again.")
    # What cargo says goes to the terminal; where the binary is, only its messages tell for sure.
    command = ["cargo", "build", "--locked", *options, "--message-format=json-render-diagnostics"]
    done = subprocess.run(command, cwd=venvs.REPOSITORY, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise venvs.CannotInstall(f"{' '.join(command)} failed.")
    for line in done.stdout.splitlines():
        message = json.loads(line)
        if message.get("executable") and message["target"]["name"] == "ironic-proxy":
            return Path(message["executable"])
    raise venvs.CannotInstall(f"{' '.join(command)} made no binary called ironic-proxy.")
