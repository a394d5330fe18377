"""What the packaging scripts know of the project: its folder, its version, its time."""

import functools
import json
import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CARGO = os.environ.get("CARGO", "cargo")


@functools.lru_cache(maxsize=None)
def metadata(*arguments):
    """`cargo metadata`, parsed."""
    command = [CARGO, "metadata", "--format-version=1", *arguments]
    output = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout
    return json.loads(output)


def package():
    """The entry of Cargo.toml."""
    packages = metadata("--no-deps")["packages"]
    return next(package for package in packages if package["name"] == "vhdmount")


def timestamp():
    """Seconds since 1970 of the commit, so that the same commit makes the same archive; SOURCE_DATE_EPOCH wins."""
    if "SOURCE_DATE_EPOCH" in os.environ:
        return int(os.environ["SOURCE_DATE_EPOCH"])
    command = ["git", "log", "-1", "--format=%ct"]
    output = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    # Not a git repository: the sources of a package.
    return int(output.stdout) if output.returncode == 0 else 0
