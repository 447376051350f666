//! A planted API key is searched for, in every form it might take, in every file and output of every command. Only
//! the source, the guide's copy of it and `--with-secrets` exports may hold it.

#![expect(clippy::disallowed_methods, reason = "it runs processes and reads what they left")]

#[path = "support/planted.rs"]
mod planted;
#[path = "support/process.rs"]
mod process;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use oxide_operator::store::crash::POINTS;
use planted::{KEY, NEXT_KEY, STEM, World, yaml};
use process::{Place, SAMPLE, said};

#[test]
fn the_search_finds_every_form() {
    let hidden = format!("x{KEY}x");
    let encoded = [STANDARD_NO_PAD.encode(&hidden), hidden.clone(), serde_json::json!(hidden).to_string()];
    for text in encoded {
        assert!(
            planted::forms(&[KEY])
                .iter()
                .any(|(_, needle)| text.as_bytes().windows(needle.len()).any(|it| it == needle)),
            "{text}"
        );
    }
}

#[test]
fn no_file_and_no_output_holds_a_key() {
    let mut world = World::new();
    world.look(&[]);
    world.run(&["migrate", "-vv"]);
    world.look(&[]);
    world.place.write_yaml(&yaml(NEXT_KEY));
    world.look(&[]);
    world.run(&["plan", "-o", "saved.plan"]);
    world.run(&["apply", "saved.plan", "-vv"]);
    world.run(&["apply", "-o", "json"]);
    world.run(&["migrate", "-o", "json"]);
    world.run(&["export", "tokens.yaml"]);
    world.run(&["export", "minimal.yaml", "--minimal"]);
    world.run(&["export", "with-secrets.yaml", "--with-secrets"]);
    world.run(&["migrate", "--verify"]);
    world.run(&["migrate", "--export", "guide.yaml"]);
    world.look(&[]);
    let exported = fs::read_to_string(world.place.root().join("with-secrets.yaml")).expect("exported");
    assert!(exported.contains("sk-canary-next"), "the test looks for what is not there");
    assert_eq!(world.found(), Vec::<String>::new());
}

#[test]
fn no_trouble_with_the_key_shows_one() {
    let mut world = World::new();
    world.run(&["migrate"]);
    world.place.write_yaml(&yaml(NEXT_KEY));
    let other = fernet::Fernet::generate_key();
    // A wrong key, and an API key where the encryption key should be.
    for wrong in [other.as_str(), NEXT_KEY] {
        let environment = [("OXIDE_ENCRYPTION_KEY", wrong)];
        world.look(&environment);
        for command in ["migrate", "apply"] {
            world.run_with(&[command], &environment);
        }
    }
    let token = |text: &str| {
        let conn = world.place.connect().expect("opens");
        conn.execute("UPDATE services SET api_key_encrypted = ?1 WHERE id = 'openrouter'", [text])
            .expect("written");
    };
    token("gAAAAABnot-a-token");
    world.look(&[]);
    world.run(&["apply"]);
    world.run(&["apply", "--on-drift", "revert", "--on-conflict", "source"]);
    fs::write(world.place.key_file(), NEXT_KEY).expect("written");
    world.look(&[]);
    fs::remove_file(world.place.key_file()).expect("removed");
    world.look(&[]);
    world.run(&["apply"]);
    assert_eq!(world.found(), Vec::<String>::new());
}

#[test]
fn a_key_that_somebody_stored_in_plain_text_is_not_shown() {
    let mut world = World::new();
    world.run(&["migrate"]);
    let conn = world.place.connect().expect("opens");
    conn.execute("UPDATE services SET api_key_encrypted = ?1 WHERE id = 'openrouter'", [KEY])
        .expect("written");
    drop(conn);
    world.look(&[]);
    world.run(&["apply"]);
    // The database holds it now, and so do its backups; what is said about them must not.
    world.place = Place::empty();
    assert_eq!(world.found(), Vec::<String>::new());
}

#[test]
fn findings_beside_a_key_do_not_show_it() {
    let mut world = World::new();
    let line = format!("api_key: '{KEY}'");
    let broken = [
        format!("{line}\n    api_key: '{NEXT_KEY}'"),
        format!("{line}\n    surprise: 1"),
        format!("{line}\n\ttab: 1"),
        format!("api_kye: '{KEY}'"),
        format!("api_key: ['{KEY}']"),
        format!("api_key: {{a: '{KEY}'}}"),
        format!("api_key: '{KEY}"),
        format!("api_key: {KEY}"),
        format!("api_key '{KEY}'"),
        format!("apiKeyFrom: '{KEY}'"),
        format!("apiKeyFrom: {{token: '{KEY}'}}"),
        format!("api_key: |\n     {KEY}\n   x: ["),
        format!("api_key: ${{{STEM}}}"),
        format!("secret_token: '{KEY}'"),
    ];
    for lines in broken {
        let text = SAMPLE.replace("api_key: sk-or-v1-not-a-real-key-0000", &lines);
        world.place.write_yaml(&text);
        for arguments in [
            &["plan"][..],
            &["plan", "-o", "json"],
            &["migrate"],
            &["apply"],
            &["config"],
            &["status"],
            &["verify"],
        ] {
            world.run(arguments);
        }
    }
    assert_eq!(world.found(), Vec::<String>::new());
}

#[test]
fn no_crash_and_no_failed_write_leaves_a_key_behind() {
    for point in POINTS {
        let mut world = World::new();
        world.run_with(&["migrate"], &[("OXIDE_OPERATOR_CRASH_AT", point)]);
        world.run(&["migrate"]);
        world.place.write_yaml(&yaml(NEXT_KEY));
        world.run_with(&["apply"], &[("OXIDE_OPERATOR_CRASH_AT", point)]);
        assert_eq!(world.found(), Vec::<String>::new(), "{point}");
    }
    for (call, first) in [("pwrite64", 9), ("fsync", 1), ("fdatasync", 1), ("rename", 1)] {
        for number in (first..first + 60).step_by(7) {
            let mut world = World::new();
            world.run(&["migrate"]);
            world.place.write_yaml(&yaml(NEXT_KEY));
            let mut command = world.place.program("strace");
            let inject = format!("inject={call}:error=EIO:when={number}");
            command.args([
                "-f",
                "--seccomp-bpf",
                "-o",
                "/dev/null",
                "-e",
                &format!("trace={call}"),
                "-e",
                &inject,
            ]);
            let said = said(command.args([process::BINARY, "apply"]));
            world.outputs.push((inject, [said.stdout, said.stderr].concat().into_bytes()));
            assert_eq!(world.found(), Vec::<String>::new());
        }
    }
}

#[test]
fn what_is_created_is_private_whatever_the_umask() {
    let place = Place::new(&yaml(KEY));
    let script = format!(
        "umask 0; set -e; exe={}; $exe migrate; sed -i s/timeout_seconds:\\ 45/timeout_seconds:\\ 46/ config/default.yaml
         $exe plan --out saved.plan || true; $exe apply; $exe export plain.yaml; $exe export secret.yaml --with-secrets",
        process::BINARY
    );
    let run = said(place.program("sh").args(["-c", &script]));
    assert_eq!(run.code(), Some(0), "{run:#?}");
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    for file in place.files().into_iter().filter(|file| *file != place.yaml()) {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
    for folder in place.folders().into_iter().filter(|folder| !folder.ends_with("config")) {
        assert_eq!(mode(&folder), 0o700, "{}", folder.display());
    }
}

/// Asks the running process for a page.
fn get(address: &str, path: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).expect("it listens");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").expect("sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("answered");
    answer
}

#[test]
fn the_running_process_leaves_no_core_and_shows_no_key() {
    let mut world = World::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    drop(listener);
    let arguments = ["run", "-vv", "--log-format", "json", "--listen", "off", "--listen-health", &address];
    let mut child = world
        .place
        .command(&arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut log = BufReader::new(child.stderr.take().expect("piped"));
    let mut logged = String::new();
    // The report of the first pass.
    while !logged.contains("\"outcome\":\"applied\"") {
        assert_ne!(log.read_line(&mut logged).expect("a line"), 0, "it ended: {logged}");
    }
    let limits = fs::read_to_string(format!("/proc/{}/limits", child.id())).expect("it runs");
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).expect("a limit");
    assert_eq!(core.split_whitespace().collect::<Vec<_>>()[4..6], ["0", "0"], "{core}");
    for path in ["/metrics", "/readyz", "/livez", "/"] {
        let answer = get(&address, path);
        world.outputs.push((path.to_owned(), answer));
    }
    world.place.write_yaml(&yaml(NEXT_KEY));
    while !logged.contains("\"revision\":2") {
        assert_ne!(log.read_line(&mut logged).expect("a line"), 0, "it ended: {logged}");
    }
    let answer = get(&address, "/metrics");
    world.outputs.push(("/metrics".to_owned(), answer));
    let process = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(process, rustix::process::Signal::TERM).expect("told to end");
    log.read_to_string(&mut logged).expect("readable");
    let output = child.wait_with_output().expect("ended");
    assert_eq!(output.status.code(), Some(0), "{logged}");
    world.outputs.push(("stdout of run".into(), output.stdout));
    world.outputs.push(("the log of run".into(), logged.into_bytes()));
    assert_eq!(world.found(), Vec::<String>::new());
}

/// The orchestrator keeps keys in plain text in its history; a scrub leaves none of their bytes, not even in pages that
/// nothing uses any more.
#[test]
fn a_scrub_leaves_no_byte_of_a_key_in_the_database() {
    let place = Place::new(SAMPLE);
    place.expect(0, &["migrate", "--no-backup"]);
    let conn = place.connect().expect("opens");
    let filler = "x".repeat(9_000);
    let snapshot = serde_json::json!({"notes": filler, "services": {"a": {"api_key": STEM.repeat(1_000)}}, "more": filler});
    conn.execute(
        "INSERT INTO config_history (config_snapshot, change_description, created_at) VALUES (?1, 'Saved', 1)",
        [snapshot.to_string()],
    )
    .expect("written");
    drop(conn);
    let holds_it = || {
        let bytes = fs::read(place.db()).expect("readable");
        bytes.windows(STEM.len()).any(|window| window == STEM.as_bytes())
    };
    assert!(holds_it(), "the search looks for what is not there");
    place.expect(0, &["history", "scrub"]);
    assert_eq!(place.integrity(), "ok");
    assert!(!holds_it(), "pages that nothing uses any more still hold it");
}

/// A secret in a section that the operator only carries: encrypted wherever it is kept, and shown by nobody.
#[test]
fn a_secret_in_a_carried_section_is_kept_encrypted_and_exported_only_when_somebody_says_so() {
    const PLANTED: &str = "sk-planted-in-a-section-0123456789";
    let place = Place::new(&format!(
        "{SAMPLE}\nx-gateway:\n  address: http://gateway\n  api_key: {PLANTED}\nx-flow: {{token: {PLANTED}, size: 4}}\n"
    ));
    place.expect(0, &["migrate", "--no-backup"]);
    place.expect(0, &["set", "execution.timeout_seconds", "7"]);
    place.expect(0, &["backup", "create"]);
    for command in [
        &["show", "1"][..],
        &["config"],
        &["export", "-"],
        &["plan", "-o", "json"],
        &["history", "-o", "json"],
    ] {
        let said = place.run(command);
        assert!(!format!("{said:?}").contains(PLANTED), "{command:?}");
    }
    let exported = place.expect(3, &["export", "-"]);
    let shown = exported.stdout;
    assert!(shown.contains("address: http://gateway"), "neighbours are shown: {shown}");
    assert!(shown.contains(", size: 4}"), "in a flow, too: {shown}");
    assert!(exported.stderr.contains("2 sections left out"), "{}", exported.stderr);
    // The one place where it stands in plain text is the source.
    let holds = |file: &std::path::PathBuf| {
        let bytes = std::fs::read(file).unwrap_or_default();
        bytes.windows(PLANTED.len()).any(|window| window == PLANTED.as_bytes())
    };
    let found: Vec<_> = place.files().into_iter().filter(holds).collect();
    assert_eq!(found, [place.yaml()]);
    assert!(place.expect(0, &["export", "-", "--with-secrets"]).stdout.matches(PLANTED).count() == 2);

    place.expect(0, &["key", "rotate"]);
    place.expect(2, &["plan"]);
    assert!(place.expect(0, &["export", "-", "--with-secrets"]).stdout.matches(PLANTED).count() == 2);
    assert!(!format!("{:?}", place.run(&["show", "1"])).contains(PLANTED));
}

/// With a key in hand and without one: what is kept of the source is encrypted, or not kept.
#[test]
fn no_copy_of_a_source_holds_a_key_that_stands_in_a_comment_or_in_an_odd_form() {
    const PLANTED: &str = "sk-or-v1-0123456789abcdef";
    const SERVICE: &str = "services:\n  n: {type: http, base_url: http://x}\n";
    for (source, has_key) in [
        (format!("{SERVICE}# was {PLANTED}\n"), false),
        (format!("{SERVICE}# was {PLANTED}\n"), true),
        (format!("{SERVICE}custom: {{api_key: {PLANTED}}}\n"), true),
        (format!("{SERVICE}logging: {{headers: {{Authorization: 'Bearer {PLANTED}'}}}}\n"), true),
        (format!("x-k: &k {PLANTED}\n{SERVICE}  m: {{type: http, base_url: http://x, api_key: *k}}\n"), true),
    ] {
        let place = Place::new(&source);
        if has_key {
            place.expect(0, &["key", "generate"]);
        }
        place.expect(0, &["apply"]);
        place.write_yaml(&source.replace("http://x", "http://y"));
        place.expect(0, &["apply"]);
        let holds = |file: &std::path::PathBuf| {
            let bytes = std::fs::read(file).unwrap_or_default();
            bytes.windows(PLANTED.len()).any(|window| window == PLANTED.as_bytes())
        };
        let found: Vec<_> = place.files().into_iter().filter(holds).collect();
        assert_eq!(found, [place.yaml()], "{source}");
    }
}

/// The same file by another name, and the same bytes in another file or variable: none is sent to an address of the source's
/// choice.
#[test]
fn no_source_has_a_key_or_token_of_the_programs_own_taken_for_an_api_key() {
    let place = Place::new(SAMPLE);
    place.expect(0, &["migrate", "--no-backup"]);
    let at = |name: &str| place.root().join("config").join(name);
    let key = fs::read_to_string(place.key_file()).expect("a key");
    let generated = place.expect(0, &["key", "generate", "config/my.key"]);
    assert!(!generated.stdout.contains("error"), "{generated:#?}");
    fs::write(at("token"), "reload-token-0000000000").expect("written");
    fs::write(at("copied-token"), "reload-token-0000000000").expect("written");
    fs::write(at("copied-key"), format!("OXIDE_ENCRYPTION_KEY={key}")).expect("written");
    fs::write(at("good"), "sk-good").expect("written");
    fs::hard_link(place.key_file(), at("hard")).expect("linked");
    std::os::unix::fs::symlink(place.key_file(), at("link")).expect("linked");
    std::os::unix::fs::symlink(place.db(), at("db")).expect("linked");
    let before = place.values();
    let apply = |from: &str| {
        place.write_yaml(&SAMPLE.replace("api_key: sk-or-v1-not-a-real-key-0000", from));
        let mut command = place.command(&["apply", "--on-conflict", "source", "--secrets-folder", "."]);
        command.args(["--old-key-file", "config/my.key", "--reload-token-file", "config/token"]);
        command.args(["--reload-url", "http://127.0.0.1:9/x"]);
        process::said(command.env("UNSUSPICIOUS", key.trim()))
    };
    for name in
        ["my.key", "token", "copied-token", "copied-key", "hard", "link", "db", "default.yaml", "/etc/passwd"]
    {
        let said = apply(&format!("apiKeyFrom: {{file: {name}}}"));
        assert_eq!(said.code(), Some(6), "{name}: {said:#?}");
        assert!(said.stderr.contains(name) && !said.stderr.contains(key.trim()), "{name}: {said:#?}");
        assert_eq!(place.values(), before, "{name}");
    }
    for reference in ["api_key: ${UNSUSPICIOUS}", "apiKeyFrom: {env: UNSUSPICIOUS}"] {
        let said = apply(reference);
        assert_eq!(said.code(), Some(6), "{reference}: {said:#?}");
        assert!(said.stderr.contains("and no API key"), "{reference}: {said:#?}");
    }
    apply("apiKeyFrom: {file: good}");
    assert_eq!(place.values()["services.openrouter.api_key_encrypted"], "sk-good", "others are taken");
}

/// What the orchestrator wrote, and what versions of ours from before carried sections were encrypted did.
#[test]
fn a_scrub_leaves_no_key_in_the_database_whatever_it_stands_in() {
    const CANARY: &str = "sk-canary-0123456789abcdef";
    let place = Place::new(&format!("{SAMPLE}\nx-extra:\n  kept: 1\n"));
    place.expect(0, &["migrate", "--no-backup"]);
    let conn = place.connect().expect("opens");
    let inner = serde_json::json!({"services": {"a": {"API_KEY": CANARY}}}).to_string();
    let quoted = serde_json::json!(inner).to_string();
    let insert =
        "INSERT INTO config_history (config_snapshot, change_description, created_at) VALUES (?1, ?2, 1)";
    for (snapshot, description) in
        [(&*inner, "saved"), (&*quoted, "saved"), ("{}", &*format!("set api_key: {CANARY}"))]
    {
        conn.execute(insert, (snapshot, description)).expect("written");
    }
    let carried = serde_json::json!([{"name": "x-extra", "yaml": format!("x-extra:\n  kept: 1\n  api_key: {CANARY}\n")}]);
    conn.execute("UPDATE operator_revision SET carried = ?1", [carried.to_string()]).expect("as it was");
    conn.execute("UPDATE operator_meta SET value = ?1 WHERE key = 'carried'", [carried.to_string()])
        .expect("as it was");
    let holds = || place.dump().iter().filter(|row| row.contains(CANARY)).count();
    assert_eq!(holds(), 5, "the keys are planted");
    let dry = place.expect(0, &["history", "scrub", "--dry-run"]);
    assert!(dry.stdout.contains("3 hold plain API keys") && dry.stdout.contains("2 records"), "{dry:#?}");
    assert_eq!(holds(), 5, "a dry run");
    drop(conn);
    place.expect(0, &["history", "scrub"]);
    assert_eq!(holds(), 0);
    for file in [place.db(), place.oxide().join("config.db-wal")] {
        let bytes = fs::read(&file).unwrap_or_default();
        assert!(!bytes.windows(CANARY.len()).any(|it| it == CANARY.as_bytes()), "{}", file.display());
    }
    for arguments in
        [&["show", "1", "-o", "json"][..], &["config"], &["export", "-"], &["history", "-o", "json"]]
    {
        let said = place.run(arguments);
        assert!(!format!("{}{}", said.stdout, said.stderr).contains(CANARY), "{arguments:?}: {said:#?}");
    }
    let whole = place.run(&["export", "-", "--with-secrets"]);
    assert!(whole.stdout.contains(CANARY), "encrypted, and not lost: {whole:#?}");
    place.expect(0, &["history", "scrub"]);
    place.connect().and_then(|conn| conn.execute(insert, ("not JSON", ""))).expect("written");
    let unread = place.expect(1, &["history", "scrub"]);
    assert!(unread.stderr.contains("1 snapshot cannot be read as JSON"), "{unread:#?}");
}
