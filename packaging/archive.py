#!/usr/bin/env python3
"""archive.py BINARY TARGET FOLDER: makes vhdmount-VERSION-TARGET.tar.gz (.zip for Windows) in FOLDER, prints its path.

The same commit and binary make the same bytes: names are sorted, times and owners fixed.
"""

import gzip
import sys
import tarfile
import tempfile
import time
import zipfile
from pathlib import Path

import project
from stage import stage

# Higher ones take much longer for half a percent.
LEVEL = 6


def tar_gz(folder, path, when):
    def plain(entry):
        entry.mtime, entry.uid, entry.gid, entry.uname, entry.gname = when, 0, 0, "", ""
        executable = entry.isdir() or entry.mode & 0o100
        entry.mode = 0o755 if executable else 0o644
        return entry

    with open(path, "wb") as file, gzip.GzipFile("", "wb", LEVEL, file, mtime=when) as packed:
        with tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as archive:
            archive.add(folder, folder.name, recursive=False, filter=plain)
            for member in sorted(folder.rglob("*")):
                archive.add(member, f"{folder.name}/{member.relative_to(folder).as_posix()}", False, filter=plain)


def zip_file(folder, path, when):
    # The format begins in 1980.
    date = time.gmtime(max(when, 315_532_800))[:6]
    with zipfile.ZipFile(path, "w") as archive:
        for member in sorted(folder.rglob("*")):
            if member.is_file():
                name = f"{folder.name}/{member.relative_to(folder).as_posix()}"
                entry = zipfile.ZipInfo(name, date)
                entry.external_attr = (0o100755 if member.suffix == ".exe" else 0o100644) << 16
                archive.writestr(entry, member.read_bytes(), zipfile.ZIP_DEFLATED, LEVEL)


def archive(binary, target, folder):
    """The path of the new archive."""
    name = f"vhdmount-{project.package()['version']}-{target}"
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        staged = Path(scratch) / name
        stage(binary, target, staged)
        windows = "windows" in target
        path = folder / (name + (".zip" if windows else ".tar.gz"))
        (zip_file if windows else tar_gz)(staged, path, project.timestamp())
    return path


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    print(archive(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
