#!/usr/bin/env python3
"""Writes a small registry hive (`regf` 1.5) to standard output: hive.py ROOT KEY [NAME=HEX]...

A root key and one key below it with binary values, in a single hive bin. The key times are SOURCE_DATE_EPOCH, so that
the bytes are the same each time.
"""
import os
import struct
import sys

BASE, BIN, NONE, REG_BINARY = 4096, 4096, 0xFFFFFFFF, 3
KEY_ALL_ACCESS, CONTAINER_INHERIT = 0xF003F, 2
KEY_NAME_IN_BYTES, ROOT_KEY = 0x20, 0x2C


class Bin:
    """The hive bin: cells one after the other, each with its size in front (negative: in use)."""

    def __init__(self, time):
        self.bytes = bytearray(struct.pack("<4sII8xQI", b"hbin", 0, BIN, time, 0))

    def reserve(self, size):
        """Adds a cell for so many bytes; its offset, by which others refer to it."""
        at, size = len(self.bytes), (size + 4 + 7) // 8 * 8
        self.bytes += struct.pack("<i", -size) + bytes(size - 4)
        return at

    def fill(self, at, content):
        self.bytes[at + 4 : at + 4 + len(content)] = content

    def add(self, content):
        at = self.reserve(len(content))
        self.fill(at, content)
        return at

    def finish(self):
        """The rest is one free cell."""
        free = BIN - len(self.bytes)
        assert free >= 8, "too much for one hive bin"
        return bytes(self.bytes) + struct.pack("<i", free) + bytes(free - 4)


def security_descriptor():
    """Owned by the administrators; full access for them and for SYSTEM, inherited by subkeys."""
    administrators = struct.pack("<BB6B2I", 1, 2, 0, 0, 0, 0, 0, 5, 32, 544)
    system = struct.pack("<BB6BI", 1, 1, 0, 0, 0, 0, 0, 5, 18)
    entries = b"".join(
        struct.pack("<BBHI", 0, CONTAINER_INHERIT, 8 + len(sid), KEY_ALL_ACCESS) + sid for sid in (system, administrators)
    )
    acl = struct.pack("<BBHHH", 2, 0, 8 + len(entries), 2, 0) + entries
    owner = 20 + len(acl)
    group = owner + len(administrators)
    # Self-relative, with a DACL.
    return struct.pack("<BBHIIII", 1, 0, 0x8004, owner, group, 0, 20) + acl + administrators + system


def key_node(name, flags, time, parent, security, subkeys=(0, NONE), values=(0, NONE), longest=(0, 0, 0)):
    """`longest`: subkey name, value name (both as UTF-16) and value data, in bytes."""
    subkey_name, value_name, value_data = longest
    head = struct.pack("<2sHQII", b"nk", flags, time, 0, parent)
    lists = struct.pack("<IIIIII", subkeys[0], 0, subkeys[1], NONE, *values)
    rest = struct.pack("<IIIIIIIHH", security, NONE, subkey_name, 0, value_name, value_data, 0, len(name), 0)
    return head + lists + rest + name


def name_hash(name):
    value = 0
    for byte in name.upper():
        value = (value * 37 + byte) & 0xFFFFFFFF
    return value


def base_block(root, time):
    head = struct.pack("<4sIIQIIIIIII", b"regf", 1, 1, time, 1, 5, 0, 1, root, BIN, 1).ljust(508, b"\0")
    checksum = 0
    for (word,) in struct.iter_unpack("<I", head):
        checksum ^= word
    # 0 and all ones are not used as checksums.
    checksum = {0: 1, NONE: NONE - 1}.get(checksum, checksum)
    return (head + struct.pack("<I", checksum)).ljust(BASE, b"\0")


def hive(root_name, key_name, values, time):
    bin_ = Bin(time)
    root = bin_.reserve(76 + len(root_name))
    descriptor = security_descriptor()
    security = bin_.reserve(20 + len(descriptor))
    # The only one in the list of descriptors; two keys use it.
    bin_.fill(security, struct.pack("<2sHIIII", b"sk", 0, security, security, 2, len(descriptor)) + descriptor)
    key = bin_.reserve(76 + len(key_name))
    subkeys = bin_.add(struct.pack("<2sHII", b"lh", 1, key, name_hash(key_name)))
    listed = []
    for name, data in values:
        # Up to 4 bytes would lie in the value itself, which is not written here.
        assert len(data) > 4
        at = bin_.add(data)
        listed.append(bin_.add(struct.pack("<2sHIIIHH", b"vk", len(name), len(data), at, REG_BINARY, 1, 0) + name))
    list_of_values = bin_.add(struct.pack(f"<{len(listed)}I", *listed)) if listed else NONE
    longest = (0, max((2 * len(name) for name, _ in values), default=0), max((len(data) for _, data in values), default=0))
    bin_.fill(root, key_node(root_name, ROOT_KEY, time, NONE, security, (1, subkeys), longest=(2 * len(key_name), 0, 0)))
    bin_.fill(
        key, key_node(key_name, KEY_NAME_IN_BYTES, time, root, security, values=(len(listed), list_of_values), longest=longest)
    )
    return base_block(root, time) + bin_.finish()


def main():
    root, key, *values = (argument.encode("ascii") for argument in sys.argv[1:])
    values = [(name, bytes.fromhex(data.decode())) for name, data in (value.split(b"=") for value in values)]
    # 100 ns since 1601.
    time = (int(os.environ["SOURCE_DATE_EPOCH"]) + 11644473600) * 10_000_000
    sys.stdout.buffer.write(hive(root, key, values, time))


if __name__ == "__main__":
    main()
