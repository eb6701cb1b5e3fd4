"""The gateway's own build."""

import json
import os
import shutil
import subprocess
from pathlib import Path

from bed import venvs

CARGO_DEB = "3.8.0"
CARGO_CYCLONEDX = "0.5.9"


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


def cargo_deb():
    """The program that makes the Debian package; built once, since nobody publishes one for the edition that we are written in."""
    # Without its default features there is no liblzma to be built, and no compression that takes minutes.
    return _tool("cargo-deb", CARGO_DEB, "--no-default-features")


def cargo_cyclonedx():
    """The program that lists what is in the package."""
    return _tool("cargo-cyclonedx", CARGO_CYCLONEDX, "--debug")


def _tool(name, version, *options):
    home = venvs.REPOSITORY / "target" / "tools" / name
    program = home / "bin" / name
    with venvs.locked(name):
        if not program.exists():
            venvs.say(f"Building {name} (once; one to three minutes) …")
            command = ["cargo", "install", "--quiet", "--locked", *options, "--root", home, f"{name}@{version}"]
            if subprocess.run(command, cwd=venvs.REPOSITORY, check=False).returncode != 0:
                raise venvs.CannotInstall(f"{name} cannot be built.")
    return program
