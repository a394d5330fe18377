#!/usr/bin/env python3
"""winget.py ARCHIVE URL PUBLISHER FOLDER: fills the manifests of winget/ for a released .zip.

URL is where ARCHIVE can be downloaded, PUBLISHER the first part of the package's identifier (PUBLISHER.vhdmount).
"""

import hashlib
import sys
import time
from pathlib import Path

import project


def fill(archive, url, publisher, folder):
    """Writes PUBLISHER.vhdmount*.yaml."""
    identifier = f"{publisher}.vhdmount"
    values = {
        "IDENTIFIER": identifier,
        "PUBLISHER": publisher,
        "VERSION": project.package()["version"],
        "URL": url,
        "SHA256": hashlib.sha256(archive.read_bytes()).hexdigest().upper(),
        "FOLDER": archive.name.removesuffix(".zip"),
        "DATE": time.strftime("%Y-%m-%d", time.gmtime(project.timestamp())),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for template in sorted((project.ROOT / "packaging" / "winget").glob("*.yaml")):
        text = template.read_text(encoding="utf-8")
        for name, value in values.items():
            text = text.replace(f"@{name}@", value)
        name = template.name.replace("vhdmount", identifier, 1)
        (folder / name).write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    fill(Path(sys.argv[1]), sys.argv[2], sys.argv[3], Path(sys.argv[4]))
