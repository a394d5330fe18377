"""The licences of what is linked into the command: the texts that lie in the crates' own packages, each text once."""

from pathlib import Path

import project

NAMES = ("license", "licence", "copying", "copyright", "notice", "unlicense")
RULE = "=" * 80


def linked(target):
    """The crates that are linked into the command for `target`, by name: not what only builds or tests it."""
    metadata = project.metadata("--locked", "--filter-platform", target)
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    macros = {
        package["id"]
        for package in metadata["packages"]
        if any("proc-macro" in kind["kind"] for kind in package["targets"])
    }
    root = project.package()["id"]
    waiting, found = [root], {root}
    while waiting:
        for dependency in nodes[waiting.pop()]["deps"]:
            normal = any(kind["kind"] is None for kind in dependency["dep_kinds"])
            if normal and dependency["pkg"] not in found | macros:
                found.add(dependency["pkg"])
                waiting.append(dependency["pkg"])
    packages = [package for package in metadata["packages"] if package["id"] in found - {root}]
    return sorted(packages, key=lambda package: (package["name"], package["version"]))


def texts(package):
    """The licence files of a crate."""
    folder = Path(package["manifest_path"]).parent
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.name.lower().startswith(NAMES))
    return [path.read_text(encoding="utf-8", errors="replace").strip() for path in files]


def document(target):
    """The whole text."""
    lines = ["The command contains these libraries; their licences follow.", ""]
    users = {}
    for package in linked(target):
        name = f"{package['name']} {package['version']}"
        found = texts(package)
        remark = "" if found else "; its package holds no text, its authors: " + ", ".join(package["authors"])
        lines.append(f"  {name}: {package['license'] or 'see below'}{remark}")
        for text in found:
            # The same text is often broken into other lines.
            users.setdefault(" ".join(text.split()), (text, []))[1].append(name)
    lines += [
        "  the Rust standard library: MIT OR Apache-2.0",
        "  a subset of the font Roboto: Apache-2.0 (LICENSE-APACHE)",
        "",
    ]
    for text, names in sorted(users.values(), key=lambda item: item[1]):
        lines += [RULE, ", ".join(names), RULE, "", text, ""]
    return "\n".join(lines)
