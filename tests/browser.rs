//! The pages in a real browser: each flow, both themes, phone width, keyboard alone, without script, two at once.
//!
//! `tests/browser/drive.mjs` looks at the pages; this file starts the program and says what the driver found.

#![expect(clippy::disallowed_methods, reason = "it runs processes")]

#[path = "support/agent.rs"]
mod agent;
#[path = "support/web.rs"]
mod web;

use std::path::{Path, PathBuf};
use std::process::Command;

use web::Web;

/// Where `make` installed what `tests/browser/package-lock.json` names.
fn modules() -> PathBuf {
    let folder = std::env::var_os("OXIDE_TEST_NODE_MODULES").map(PathBuf::from);
    let folder = folder.or_else(|| {
        let home = std::env::var_os("HOME")?;
        Some(Path::new(&home).join(".cache/oxide-operator/browser"))
    });
    folder.filter(|folder| folder.join("node_modules/playwright-core").is_dir()).expect(
        "playwright-core: `make tools` installs it; OXIDE_TEST_NODE_MODULES names the folder of node_modules",
    )
}

/// Where screenshots are kept.
fn shots() -> PathBuf {
    let folder = std::env::var_os("OXIDE_TEST_SCREENSHOTS").map(PathBuf::from);
    let folder = folder.unwrap_or_else(|| Path::new(env!("CARGO_TARGET_TMPDIR")).join("screenshots"));
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
}

#[test]
fn every_flow_works_in_a_real_browser() {
    let web = Web::start_at_a_terminal();
    let shots = shots();
    let driver = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/drive.mjs");
    let output = Command::new("node")
        .arg(driver)
        .arg(modules())
        .arg(format!("http://127.0.0.1:{}", web.port))
        .args([&web.token, &web.link])
        .args([web.database(), web.agent.yaml(), shots.clone()])
        .output()
        .expect("node runs");
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}\nscreenshots: {}", shots.display());
    let log: Vec<String> = web.agent.log.try_iter().map(|line| line.to_string()).collect();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{stderr}\nthe agent's log: {log:#?}");
    assert!(said.lines().count() > 10, "the driver did its steps:\n{said}");
}
