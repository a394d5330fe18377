#!/usr/bin/env python3
"""seeds.py FOLDER [DEMO.vhdx.gz]: makes seeds for the fuzz targets in FOLDER/TARGET/.

Whole images are made by mkfs.fat, mkntfs and qemu-img where these are installed; for the targets on generated volumes a
seed is any bytes, so those are pseudo-random and always the same.
"""

import gzip
import os
import random
import shutil
import struct
import subprocess
import sys
from pathlib import Path

# Targets whose input is a list of choices.
CHOICES = ("ntfs_tree", "fat_tree", "container_chain", "commands", "read_faults", "write_vhd", "write_vhdx", "fuse_calls", "winfsp_calls")
LENGTHS = (60, 150, 300, 500, 800, 1100)


def choices(folder):
    generator = random.Random(1)
    for target in CHOICES:
        place = folder / target
        place.mkdir(parents=True, exist_ok=True)
        for number in range(60):
            data = bytearray(generator.randbytes(LENGTHS[number % len(LENGTHS)]))
            # The first byte is the number of changes: a third of the seeds are volumes without damage.
            data[0] = 0 if number % 3 == 0 else data[0]
            (place / f"choices-{number}").write_bytes(data)


def run(*command):
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def images(folder, demo):
    """Images by name; what cannot be made here is left out."""
    found = {}
    text = folder / "readme.txt"
    text.write_text("A small text.\n" * 200, encoding="utf-8")
    if shutil.which("mkfs.fat"):
        for bits, kib in (("12", "1440"), ("16", "3000")):
            path = folder / f"fat{bits}.img"
            run("mkfs.fat", "-C", "-s", "1", "-F", bits, str(path), kib)
            if shutil.which("mcopy"):
                run("mcopy", "-i", str(path), str(text), "::/a long name.txt")
            found[path.name] = path
    if shutil.which("mkntfs"):
        path = folder / "ntfs.img"
        with open(path, "wb") as file:
            file.truncate(2 << 20)
        run("mkntfs", "-q", "-Q", "-F", str(path))
        run("ntfscp", "-q", "-f", str(path), str(text), "readme.txt")
        found[path.name] = path
    if shutil.which("qemu-img") and "fat12.img" in found:
        for name, kind in (("floppy.vhd", "vpc"), ("floppy.vhdx", "vhdx")):
            path = folder / name
            run("qemu-img", "convert", "-O", kind, str(found["fat12.img"]), str(path))
            found[name] = path
    if demo:
        path = folder / "demo.vhdx"
        path.write_bytes(gzip.decompress(Path(demo).read_bytes()))
        found[path.name] = path
    return found


def structures(folder):
    """Small files for targets of one structure, by target. Those of `vhd` and `partition` begin with a byte of options: 1
    puts checksums right."""
    found = {}
    entry = struct.pack("<B3sB3sII", 0x80, bytes(3), 7, bytes(3), 8, 40)
    logical = struct.pack("<B3sB3sII", 0, bytes(3), 5, bytes(3), 50, 20)
    found["partition", "mbr"] = b"\1" + bytes(446) + entry + logical + bytes(32) + b"\x55\xaa" + bytes(80 * 512)
    if shutil.which("sgdisk"):
        path = folder / "gpt.img"
        with open(path, "wb") as file:
            file.truncate(48 << 10)
        run("sgdisk", "-a", "1", "-n", "1:34:40", "-n", "2:41:50", str(path))
        found["partition", "gpt"] = b"\1" + path.read_bytes()
    if shutil.which("qemu-img"):
        for kind in ("dynamic", "fixed"):
            path = folder / f"{kind}.vhd"
            size = {"dynamic": "4M", "fixed": "64K"}[kind]
            run("qemu-img", "create", "-q", "-f", "vpc", "-o", f"subformat={kind},force_size=on", str(path), size)
            found["vhd", kind] = b"\1" + path.read_bytes()
    if shutil.which("wimlib-imagex"):
        source = folder / "captured"
        source.mkdir(exist_ok=True)
        (source / "text").write_text("A small text.\n" * 900, encoding="utf-8")
        for kind in ("none", "XPRESS", "LZX"):
            path = folder / f"{kind}.wim"
            run("wimlib-imagex", "capture", str(source), str(path), f"--compress={kind}")
            found["wim", kind] = path.read_bytes()
    # One chunk that repeats a byte, after the byte that is the output's size.
    found["lznt1", "repeated"] = bytes([43, 0x03, 0xB0, 0x02, 0x41, 0xFC, 0x0F])
    hive = Path(__file__).resolve().parents[2] / "demo" / "hive.py"
    made = subprocess.run(
        [sys.executable, str(hive), "ROOT", "MountedDevices", r"\DosDevices\C:=0102030405060708090a0b0c"],
        check=True,
        stdout=subprocess.PIPE,
        env={**os.environ, "SOURCE_DATE_EPOCH": "1577836800"},
    )
    found["hive", "mounted-devices"] = made.stdout
    return found


def main(folder, demo):
    choices(folder)
    scratch = folder / ".made"
    scratch.mkdir(parents=True, exist_ok=True)
    for (target, name), content in structures(scratch).items():
        place = folder / target
        place.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(content)
    for name, path in images(scratch, demo).items():
        targets = ["image", "check"]
        targets += ["fat"] if name.startswith("fat") else []
        targets += ["ntfs_volume"] if name.startswith("ntfs") else []
        if path.stat().st_size > 4 << 20:
            targets = []
        for target in targets:
            place = folder / target
            place.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place / name)
    shutil.rmtree(scratch)


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) == 3 else None)
