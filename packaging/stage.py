#!/usr/bin/env python3
"""stage.py BINARY TARGET FOLDER: lays out what a release consists of (see README.md), around a command that runs here.

TARGET is a Rust target triple, as in x86_64-unknown-linux-gnu.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import project
import sbom
import third_party

DOCUMENTS = ("README.md", "CHANGELOG.md", "LICENSE-MIT", "LICENSE-APACHE")
# What each shell looks for in its folders.
COMPLETIONS = {
    "bash": "vhdmount.bash",
    "zsh": "_vhdmount",
    "fish": "vhdmount.fish",
    "powershell": "_vhdmount.ps1",
}


def stage(binary, target, folder):
    """Fills `folder`, which must not exist."""
    binary = Path(binary).resolve()
    folder.mkdir(parents=True)
    command = folder / ("vhdmount.exe" if "windows" in target else "vhdmount")
    shutil.copyfile(binary, command)
    command.chmod(0o755)
    for name in DOCUMENTS:
        shutil.copyfile(project.ROOT / name, folder / name)
    shutil.copytree(project.ROOT / "docs", folder / "docs")
    text = third_party.document(target)
    (folder / "THIRD-PARTY.txt").write_text(text, encoding="utf-8", newline="\n")
    bill = sbom.document(target)
    (folder / "vhdmount.cdx.json").write_text(bill, encoding="utf-8", newline="\n")
    run = [*os.environ.get("VHDMOUNT_RUNNER", "").split(), str(command)]
    subprocess.run([*run, "man", str(folder / "man")], check=True)
    completions = folder / "completions"
    completions.mkdir()
    for shell, name in COMPLETIONS.items():
        with open(completions / name, "wb") as file:
            subprocess.run([*run, "completions", shell], check=True, stdout=file)


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    stage(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
