#!/usr/bin/env python3
"""Writes what the binary is made of, as CycloneDX JSON: sbom.py OUT TARGET

The crates are listed by cargo-cyclonedx (CARGO_CYCLONEDX names it where it is not in the path), with versions, checksums
and licences. Added is what lies inside of them and is no crate: SQLite. Taken away is what differs from one machine
and one moment to the next, so the same Cargo.lock gives the same bytes."""
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys
import uuid

ROOT = pathlib.Path(__file__).resolve().parent.parent
# It writes beside Cargo.toml and nowhere else.
NAME = "oxide-operator-sbom"


def crates(target):
    tool = os.environ.get("CARGO_CYCLONEDX", "cargo-cyclonedx")
    subprocess.run(
        [tool, "cyclonedx", "--quiet", "--format", "json", "--spec-version", "1.5", "--target", target,
         "--no-build-deps", "--override-filename", NAME], cwd=ROOT, check=True)
    written = ROOT / f"{NAME}.json"
    text = written.read_text()
    written.unlink()
    return json.loads(text.replace(f"path+file://{ROOT}#", "path+file:///src#"))


def sqlite(target):
    metadata = json.loads(subprocess.run(
        ["cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", target],
        cwd=ROOT, check=True, capture_output=True).stdout)
    [crate] = [package for package in metadata["packages"] if package["name"] == "libsqlite3-sys"]
    source = pathlib.Path(crate["manifest_path"]).parent / "sqlite3"
    version = re.search(r'#define SQLITE_VERSION +"([^"]+)"', (source / "sqlite3.h").read_text())[1]
    return {
        "type": "library",
        "bom-ref": f"sqlite@{version}",
        "name": "sqlite",
        "version": version,
        "description": "The amalgamation that the crate libsqlite3-sys compiles",
        "scope": "required",
        "hashes": [{"alg": "SHA-256", "content": hashlib.sha256((source / "sqlite3.c").read_bytes()).hexdigest()}],
        "licenses": [{"license": {"name": "Public domain"}}],
        "cpe": f"cpe:2.3:a:sqlite:sqlite:{version}:*:*:*:*:*:*:*",
        "purl": f"pkg:generic/sqlite@{version}",
    }, f"#libsqlite3-sys@{crate['version']}"


def main(out, target):
    listed = crates(target)
    library, crate = sqlite(target)
    listed["components"].append(library)
    listed["dependencies"].append({"ref": library["bom-ref"]})
    [of_crate] = [each for each in listed["dependencies"] if each["ref"].endswith(crate)]
    of_crate.setdefault("dependsOn", []).append(library["bom-ref"])
    del listed["metadata"]["timestamp"], listed["serialNumber"]
    content = json.dumps(listed, sort_keys=True)
    listed["serialNumber"] = f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, content)}"
    pathlib.Path(out).write_text(json.dumps(listed, indent=2, sort_keys=True) + "\n")


main(*sys.argv[1:])
