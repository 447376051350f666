#!/usr/bin/env python3
"""Makes an OCI image archive of one layer: image.py OUT.tar NAME:TAG SOURCE:/DESTINATION... -- ENTRYPOINT [ARGUMENT...]

The same files give the same bytes."""
import hashlib
import io
import json
import platform
import sys
import tarfile

OCI = "application/vnd.oci.image."
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def as_anybody(entry):
    entry.mtime = entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


def layer_of(files):
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as layer:
        for source, destination in files:
            layer.add(source, arcname=destination.lstrip("/"), filter=as_anybody)
    return data.getvalue()


def described(kind, data):
    return {"mediaType": OCI + kind, "digest": digest(data), "size": len(data)}


def encoded(value):
    return json.dumps(value, sort_keys=True).encode()


def write(out, name, files, entrypoint, environment=()):
    """`files` are pairs of a source, which may be a folder, and the place in the image."""
    layer = layer_of(files)
    config = encoded({
        "architecture": ARCHITECTURES[platform.machine()],
        "os": "linux",
        "config": {"Entrypoint": entrypoint, "Env": list(environment), "User": "65532:65532"},
        "rootfs": {"type": "layers", "diff_ids": [digest(layer)]},
    })
    manifest = encoded({
        "schemaVersion": 2,
        "mediaType": OCI + "manifest.v1+json",
        "config": described("config.v1+json", config),
        "layers": [described("layer.v1.tar", layer)],
    })
    named = described("manifest.v1+json", manifest) | {"annotations": {"io.containerd.image.name": name}}
    parts = {
        "oci-layout": b'{"imageLayoutVersion":"1.0.0"}',
        "index.json": encoded({"schemaVersion": 2, "manifests": [named]}),
    }
    parts |= {"blobs/sha256/" + digest(blob)[7:]: blob for blob in (layer, config, manifest)}
    with tarfile.open(out, "w") as archive:
        for path, data in parts.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))


def main(out, name, *rest):
    split = rest.index("--")
    write(out, name, [pair.rsplit(":", 1) for pair in rest[:split]], list(rest[split + 1:]))


if __name__ == "__main__":
    main(*sys.argv[1:])
