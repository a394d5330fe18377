#!/usr/bin/env python3
"""mount-demo.py PROGRAM MOUNTPOINT: mounts the demo disk, copies it out with the system's own copier, compares every hash.

MOUNTPOINT is a drive (X:) on Windows, where robocopy copies, and an empty directory elsewhere. Ends with 0 when all is
as demo/manifest.tsv says, the capacity is told, writing is refused, and the unmounted image is unchanged.
"""

import gzip
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WINDOWS = os.name == "nt"
PATIENCE = 60


def check(holds, what):
    if not holds:
        sys.exit(f"FAILED: {what}")
    print(f"ok: {what}", flush=True)


def digest(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def manifest():
    """Kind, size, hash and path (with the volume in front) of everything on the disk."""
    for line in (ROOT / "demo" / "manifest.tsv").read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            volume, kind, size, sha256, path = line.split("\t")
            yield kind, size, sha256, os.path.join(volume, *path.split("/"))


def wait(condition, what):
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            sys.exit(f"FAILED: {what}, after {PATIENCE} s")
        time.sleep(0.1)


def copy(root, target):
    """All volumes, links left out: they are checked by themselves."""
    if WINDOWS:
        # Attributes left out: read-only copies could not be removed.
        options = ["/E", "/XJ", "/A-:RSH", "/R:1", "/W:1", "/NFL", "/NDL", "/NP"]
        command = ["robocopy", root, str(target), *options]
        # Below 8 nothing failed.
        return subprocess.run(command).returncode < 8
    return subprocess.run(["cp", "-r", "--no-dereference", root + ".", str(target)]).returncode == 0


def compare(root, copied):
    """Hashes of the copy and of the streams in the mount; what is there and should not be."""
    expected = set()
    for kind, size, sha256, path in manifest():
        if kind == "file":
            expected.add(path)
            check(digest(copied / path) == sha256, f"{path}: {size} bytes with the right SHA-256")
        elif kind == "stream":
            check(digest(root + path) == sha256, f"{path}: a stream with the right SHA-256")
        elif kind == "dir":
            check((copied / path).is_dir(), f"{path}: a directory")
        else:
            check(os.path.lexists(root + path) and os.readlink(root + path), f"{path}: a link")
    found = set()
    for folder, _, files in os.walk(copied):
        paths = (os.path.relpath(os.path.join(folder, name), copied) for name in files)
        found.update(path for path in paths if path.startswith("p") and not os.path.islink(copied / path))
    check(found == expected, f"{len(expected)} files, and no others: {sorted(found ^ expected)}")


def refuses_writing(root):
    try:
        with open(os.path.join(root, "p3", "new file"), "wb"):
            return False
    except OSError:
        return True


def main(program, mountpoint):
    program = str(Path(program).resolve())
    root = os.path.join(mountpoint + (os.sep if mountpoint.endswith(":") else ""), "")
    with tempfile.TemporaryDirectory() as scratch:
        image = Path(scratch) / "demo.vhdx"
        image.write_bytes(gzip.decompress((ROOT / "demo" / "demo.vhdx.gz").read_bytes()))
        before = digest(image)
        # It may go to the background, or stay: both are fine.
        server = subprocess.Popen([program, str(image), mountpoint])
        capacity = root + ".capacity"
        wait(lambda: server.poll() not in (None, 0) or os.path.exists(capacity), "the mount does not appear")
        check(server.poll() in (None, 0), f"{image.name} is mounted at {mountpoint}")
        try:
            copied = Path(scratch) / "copy"
            copied.mkdir()
            check(copy(root, copied), "the whole tree is copied")
            compare(root, copied)
            text = Path(capacity).read_text(encoding="utf-8")
            check("achievable_size" in text, ".capacity tells the achievable size")
            told = subprocess.run([program, "capacity", str(image)], stdout=subprocess.PIPE)
            check(told.returncode == 0 and b"achievable_size" in told.stdout, "so does vhdmount capacity")
            print(told.stdout.decode("utf-8"))
            usage = shutil.disk_usage(root)
            check(0 < usage.free <= usage.total, f"free space: {usage.free} of {usage.total} bytes")
            check(refuses_writing(root), "writing is refused")
        finally:
            unmounted = subprocess.run([program, "-u", mountpoint]).returncode
        check(unmounted == 0, "unmounted")
        server.wait(PATIENCE)
        check(not os.path.exists(capacity), "the mount is gone")
        check(digest(image) == before, "the image is unchanged")


if __name__ == "__main__":
    # There are names beyond the code pages of consoles.
    sys.stdout.reconfigure(encoding="utf-8")
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2])
