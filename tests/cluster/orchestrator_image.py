#!/usr/bin/env python3
"""Makes the image of a stand-in for the orchestrator: orchestrator_image.py OUT.tar NAME:TAG

Nothing can be pulled where the tests run, so it holds the Python that runs this, with `sqlite3` and `cryptography`, the
libraries these need, and tests/support/orchestrator.py under /app."""
import importlib.util
import os
import pathlib
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile

sys.dont_write_bytecode = True
import image

SUPPORT = pathlib.Path(__file__).resolve().parent.parent / "support"
LEFT_OUT = shutil.ignore_patterns(
    "__pycache__", "site-packages", "dist-packages", "test", "tests", "idlelib", "tkinter", "ensurepip", "lib2to3",
    "pydoc_data", "turtledemo", "config-*", "*.a", "_tkinter*")


def libraries_of(program):
    said = subprocess.run(["ldd", program], capture_output=True, text=True).stdout
    return set(re.findall(r"(/\S+) \(0x", said))


def package(name, folder):
    origin = pathlib.Path(importlib.util.find_spec(name).origin)
    if origin.name == "__init__.py":
        shutil.copytree(origin.parent, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(origin, folder)


def main(out, name):
    with tempfile.TemporaryDirectory() as folder:
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        home = pathlib.Path(folder) / "python"
        library = home / "lib" / version
        shutil.copytree(sysconfig.get_path("stdlib"), library, ignore=LEFT_OUT)
        packages = library / "site-packages"
        packages.mkdir()
        for each in ("cryptography", "cffi", "_cffi_backend", "pycparser"):
            if importlib.util.find_spec(each):
                package(each, packages)
        (home / "bin").mkdir()
        python = home / "bin" / "python3"
        shutil.copy(os.path.realpath(sys.executable), python)
        needed = set().union(*(libraries_of(program) for program in [python, *home.rglob("*.so")]))
        # Each under the name by which it is looked for, as the file that this name leads to.
        links = pathlib.Path(folder) / "libraries"
        links.mkdir()
        files = [(home, "/python")]
        for path in sorted(needed):
            shutil.copy(os.path.realpath(path), links / pathlib.Path(path).name)
            files.append((links / pathlib.Path(path).name, path))
        files += [(SUPPORT / script, f"/app/{script}") for script in ("orchestrator.py", "read_database.py")]
        environment = ["PATH=/python/bin", "PYTHONHOME=/python", "PYTHONDONTWRITEBYTECODE=1", "PYTHONUNBUFFERED=1"]
        image.write(out, name, files, ["python3"], environment)


main(*sys.argv[1:])
