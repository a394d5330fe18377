"""The bill of materials of a release, as CycloneDX 1.5 (ECMA-424) in JSON: the crates that are linked into the command."""

import json
import re
import time
import uuid

import project
import third_party

# Checksums of the packages, which `cargo metadata` does not report.
LOCKED = re.compile(r'name = "(.+)"\nversion = "(.+)"\nsource = ".+"\nchecksum = "([0-9a-f]{64})"')


def checksums():
    """SHA-256 of each package, by name and version."""
    text = (project.ROOT / "Cargo.lock").read_text(encoding="utf-8")
    return {(name, version): checksum for name, version, checksum in LOCKED.findall(text)}


def reference(package):
    """The package URL, which is also its reference in the document."""
    return f"pkg:cargo/{package['name']}@{package['version']}"


def component(package, known):
    """One crate."""
    found = {
        "type": "library",
        "bom-ref": reference(package),
        "name": package["name"],
        "version": package["version"],
        "purl": reference(package),
        "scope": "required",
    }
    checksum = known.get((package["name"], package["version"]))
    if checksum:
        found["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    if package["license"]:
        # Some crates separate alternatives by a slash, as was once usual.
        found["licenses"] = [{"expression": package["license"].replace("/", " OR ")}]
    if package["repository"]:
        found["externalReferences"] = [{"type": "vcs", "url": package["repository"]}]
    return found


def document(target):
    """The whole document, the same for the same commit."""
    root, linked = project.package(), third_party.linked(target)
    known = checksums()
    nodes = {node["id"]: node for node in project.metadata("--locked", "--filter-platform", target)["resolve"]["nodes"]}
    names = {package["id"]: reference(package) for package in [root, *linked]}

    def depends_on(package):
        ids = {dependency["pkg"] for dependency in nodes[package["id"]]["deps"]} - {package["id"]}
        return sorted(names[found] for found in ids if found in names)

    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(project.timestamp()))
    name = f"{reference(root)}?target={target}&time={when}"
    command = component(root, known)
    command["type"] = "application"
    del command["scope"]
    content = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, name)}",
        "version": 1,
        "metadata": {
            "timestamp": when,
            "component": command,
            "properties": [{"name": "cargo:target", "value": target}],
        },
        "components": [component(package, known) for package in linked],
        "dependencies": [
            {"ref": reference(package), "dependsOn": depends_on(package)} for package in [root, *linked]
        ],
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"
