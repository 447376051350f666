//! The container image as the Dockerfile at the top makes it: its final stage, around the static binary that exists.

#![allow(dead_code, reason = "each test crate uses its part")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value as Json;

/// buildah's images, in a folder of their own.
pub(crate) struct Images {
    folder: tempfile::TempDir,
}

impl Images {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder") }
    }

    /// Builds the image; returns its id. Two builds of the same files have the same.
    pub(crate) fn build(&self, name: &str, arguments: &[&str]) -> String {
        let binary = self.folder.path().join("binary");
        fs::create_dir_all(&binary).expect("created");
        fs::copy(release_binary(), binary.join("oxide-operator")).expect("copied");
        // A folder in place of the stage `build`, which compiles: docs/image.md tells people to do the same.
        let stage = format!("build={}", binary.display());
        let build = ["bud", "--isolation", "chroot", "--pull-never", "--timestamp", "0", "--quiet"];
        let build = build.into_iter().chain(["--tag", name, "--build-context", &stage]);
        let build = build.chain(arguments.iter().copied()).chain([env!("CARGO_MANIFEST_DIR")]);
        let said = self.buildah(&build.collect::<Vec<_>>());
        said.lines().last().expect("the id").to_owned()
    }

    /// What the image says of itself.
    pub(crate) fn configuration(&self, image: &str) -> Json {
        let said = self.buildah(&["inspect", "--type", "image", image]);
        serde_json::from_str::<Json>(&said).expect("JSON")["OCIv1"].take()
    }

    /// Where the image's files lie.
    pub(crate) fn files(&self, image: &str) -> PathBuf {
        let container = self.buildah(&["from", "--pull-never", image]);
        self.buildah(&["mount", container.trim()]).trim().into()
    }

    /// Writes the image as an OCI archive, as containerd and registries take it.
    pub(crate) fn archive(&self, image: &str, path: &Path) {
        self.buildah(&["push", "--quiet", image, &format!("oci-archive:{}:{image}", path.display())]);
    }

    fn buildah(&self, arguments: &[&str]) -> String {
        let output = Command::new("buildah")
            .arg("--root")
            .arg(self.folder.path().join("images"))
            .arg("--runroot")
            .arg(self.folder.path().join("state"))
            .args(["--storage-driver", "vfs"])
            .args(arguments)
            .output()
            .expect("make tools installs buildah");
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "buildah {arguments:?}: {complaint}");
        String::from_utf8(output.stdout).expect("text")
    }
}

/// The stripped static binary, which `make test` builds before the tests.
pub(crate) fn release_binary() -> PathBuf {
    std::env::var_os("OXIDE_RELEASE_BINARY")
        .expect("OXIDE_RELEASE_BINARY names the static binary; `make release` builds it, `make test` sets it")
        .into()
}
