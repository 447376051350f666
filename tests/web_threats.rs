//! What a hostile client, page or neighbour may try with the web page: a test for each line of the threat model.

#![expect(clippy::disallowed_methods, reason = "tests touch the world")]

#[path = "support/agent.rs"]
mod agent;
#[path = "support/reviews.rs"]
mod reviews;
#[path = "support/web.rs"]
mod web;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use agent::{Agent, folder_with_yaml};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac as _};
use reviews::{GOOD, Reviews};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value as Json, json};
use sha2::Sha256;
use web::{Web, until};

const SERVICE: &str = "/api/v1/services/gemini";

/// DNS rebinding: another name that points here.
#[test]
fn a_name_that_is_not_ours_is_not_answered() {
    let web = Web::start(&["--allow-host", "oxide.example"]);
    let authorization = format!("Bearer {}", web.token);
    let status = |path: &str, host: &str| {
        web.send("GET", path, &[("Host", host), ("Authorization", &authorization)], "").status
    };
    for host in [
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil.example:8460",
        "evil.localhost",
        "evil.localhost:8460",
        "evil.oxide.example",
        "",
        "10.1.2.3",
    ] {
        for path in ["/", "/login", "/api/v1/status", "/assets/icon.svg"] {
            assert_eq!(status(path, host), 403, "{host} {path}");
        }
    }
    let reply = web.send("GET", "/api/v1/status", &[("Host", "evil.example")], "");
    assert_eq!(reply.header("content-type"), Some("application/problem+json"), "a program is told so as one");
    for host in ["localhost", "localhost:1", "127.0.0.1:9", "[::1]:8460", "oxide.example"] {
        assert_eq!(status("/api/v1/status", host), 200, "{host}");
    }
}

/// Cross-site request forgery: another site's page sends a form, with the browser's cookie.
#[test]
fn another_sites_page_cannot_write() {
    let web = Web::start(&[]);
    let cookie = web.log_in("alice");
    let own = format!("http://127.0.0.1:{}", web.port);
    let form = "reason=evil";
    let send = |headers: &[(&str, &str)]| {
        let all: Vec<(&str, &str)> =
            [&[("Cookie", cookie.as_str()), ("Content-Type", "application/x-www-form-urlencoded")], headers]
                .concat();
        web.send("POST", "/backups", &all, form).status
    };
    let backups = || web.get("/api/v1/backups").json()["total"].clone();
    until("the backup after the first write", || backups() == 1);
    for headers in [
        vec![("Origin", "http://evil.example")],
        vec![("Origin", "null")],
        vec![("Origin", "http://127.0.0.1:1")],
        vec![("Sec-Fetch-Site", "cross-site")],
        vec![("Sec-Fetch-Site", "same-site"), ("Origin", own.as_str())],
        vec![("Sec-Fetch-Site", "same-origin"), ("Origin", "http://evil.example")],
        vec![],
    ] {
        assert_eq!(send(&headers), 403, "{headers:?}");
    }
    assert_eq!(backups(), 1, "nothing was done");
    assert_eq!(send(&[("Origin", &own)]), 303);
    // A token in a header is not sent by a browser on its own, but another site's page has no business here either.
    let headers =
        [("Origin", "http://evil.example"), ("If-Match", "*"), ("Content-Type", "application/json")];
    assert_eq!(web.ask("PATCH", SERVICE, &headers, "{}").status, 403);
}

#[test]
fn the_cookie_is_for_this_site_and_not_for_scripts() {
    let web = Web::start(&[]);
    let reply = web.form("/login", "", &[("token", &web.token), ("name", "")]);
    let cookie = reply.header("set-cookie").expect("a cookie");
    assert!(
        cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict") && cookie.contains("Path=/"),
        "{cookie}"
    );
    assert!(!cookie.contains(&web.token), "the token itself stays out of the browser");
}

/// Clickjacking, foreign scripts, sniffing: what a browser is told.
#[test]
fn every_answer_forbids_what_is_not_ours() {
    let web = Web::start(&[]);
    let cookie = web.log_in("");
    for path in ["/", "/drift", "/login", "/nowhere", "/api/v1/status", "/api/v1/nothing", "/assets/icon.svg"]
    {
        let reply = web.page(path, &cookie);
        let policy = reply.header("content-security-policy").unwrap_or_else(|| panic!("{path}: {reply:?}"));
        assert!(
            policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
            "{policy}"
        );
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(reply.header("access-control-allow-origin"), None, "{path}");
        assert!(reply.header("cache-control").is_some(), "{path}");
        if reply.header("content-type").is_some_and(|kind| kind.starts_with("text/html")) {
            let lower = reply.body.to_lowercase();
            for inline in ["<style", " style=", "javascript:", " onclick=", " onload=", "http-equiv"] {
                assert!(!lower.contains(inline), "{path} holds {inline}");
            }
            assert_eq!(
                lower.matches("<script").count(),
                lower.matches("<script src=\"/assets/").count(),
                "{path}"
            );
        }
    }
}

#[test]
fn nothing_but_the_login_is_shown_without_one() {
    let web = Web::start(&[]);
    for path in
        ["/", "/drift", "/services", "/services/of/gemini", "/history/1", "/backups", "/docs", "/nowhere"]
    {
        let reply = web.page(path, "");
        assert_eq!(
            (reply.status, reply.header("location").is_some_and(|to| to.starts_with("/login"))),
            (303, true),
            "{path}"
        );
    }
    for path in ["/api/v1/status", "/api/v1/events", "/api/v1/openapi.json", "/api/v1/nothing"] {
        let reply = web.page(path, "");
        assert_eq!((reply.status, reply.header("www-authenticate")), (401, Some("Bearer")), "{path}");
    }
    assert_eq!(web.form("/backups", "", &[]).status, 401);
    let name = web.log_in("").split_once('=').expect("a cookie").0.to_owned();
    assert_eq!(web.page("/api/v1/status", &format!("{name}=99999999999.w.YQ.AAAA")).status, 401);
}

#[test]
fn wrong_tokens_are_turned_away_ever_slower_and_the_right_one_never() {
    let web = Web::start(&[]);
    let wrong = [("Authorization", "Bearer wrong")];
    let statuses: Vec<u16> = (0..40).map(|_| web.send("GET", "/api/v1/status", &wrong, "").status).collect();
    assert!(statuses.starts_with(&[401, 401, 401]), "{statuses:?}");
    assert!(statuses.ends_with(&[429, 429, 429]), "{statuses:?}");
    assert_eq!(web.get("/api/v1/status").status, 200);
    for scheme in ["Basic", "Bearer Bearer", ""] {
        let value = format!("{scheme} {}", web.token);
        assert_ne!(
            web.send("GET", "/api/v1/status", &[("Authorization", &value)], "").status,
            200,
            "{scheme}"
        );
    }
}

#[test]
fn wrong_tokens_shut_no_account_of_the_cluster_out() {
    let (reviews, folder) = (Reviews::start(), tempfile::tempdir().expect("a folder"));
    let kubeconfig = folder.path().join("kubeconfig");
    reviews.kubeconfig(&kubeconfig);
    let mut program = Command::new(env!("CARGO_BIN_EXE_oxide-operator"));
    program.env("KUBECONFIG", &kubeconfig);
    let web = Web::start_with(program, &["--token-review"]);
    let client = &web.client;
    let status = |token: &str| {
        client.send("GET", "/api/v1/status", &[("Authorization", &format!("Bearer {token}"))], "").status
    };
    let (known, new) = (format!("{GOOD}known"), format!("{GOOD}new"));
    assert_eq!(status(&known), 200);
    let wrong: Vec<u16> = (0..40).map(|it| status(&format!("wrong-{it}"))).collect();
    assert!(wrong.ends_with(&[429, 429]), "{wrong:?}");
    let asked = reviews.asked();
    assert_eq!((status(&known), reviews.asked()), (200, asked), "it is remembered");
    assert_eq!((status(&new), reviews.asked()), (200, asked + 1));
    std::thread::scope(|scope| {
        let guessing = (0..100).map(|it| scope.spawn(move || status(&format!("guess-{it}"))));
        let guessing: Vec<_> = guessing.collect();
        assert_eq!((status(&known), status(&format!("{GOOD}late"))), (200, 200));
        assert!(guessing.into_iter().all(|guess| guess.join().expect("answered") == 429));
    });
}

#[test]
fn requests_of_strangers_that_never_end_shut_nobody_out() {
    // More descriptors than a test is given by default, for both sides.
    let limit = Rlimit { current: Some(4_096), ..getrlimit(Resource::Nofile) };
    setrlimit(Resource::Nofile, limit).expect("as many as are allowed");
    let mut program = Command::new("sh");
    let binary = env!("CARGO_BIN_EXE_oxide-operator");
    program.args(["-c", "ulimit -n 4096; exec \"$0\" \"$@\"", binary]);
    let web = Web::start_with(program, &[]);
    let unfinished =
        format!("POST /login HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Length: 10\r\n\r\n", web.port);
    let held: Vec<TcpStream> = (0..900)
        .map(|_| {
            let mut stream = TcpStream::connect(("127.0.0.1", web.port)).expect("listens");
            stream.write_all(unfinished.as_bytes()).expect("sent");
            stream
        })
        .collect();
    assert_eq!(web.get("/api/v1/status").status, 200);
    assert_eq!(web.form("/login", "", &[("token", &web.token), ("name", "alice")]).status, 303);
    drop(held);
}

#[test]
fn a_reason_that_a_terminal_would_obey_is_refused_by_the_page_and_the_api() {
    let web = Web::start(&[]);
    let cookie = web.log_in("alice");
    for reason in ["a\u{1b}[31m", "a\nb", "a\u{202e}b", "a\u{9b}"] {
        let by_form = web.form("/pause", &cookie, &[("reason", reason)]);
        let by_api = web.write("POST", "/api/v1/pauses", None, &json!({"reason": reason}));
        assert_eq!((by_form.status, by_api.status), (400, 400), "{reason:?}");
    }
    assert_eq!(web.form("/pause", &cookie, &[("reason", "planned")]).status, 303);
}

#[test]
fn a_session_is_over_once_somebody_logged_out() {
    let web = Web::start(&[]);
    let (mine, other) = (web.log_in("alice"), web.log_in("alice"));
    let own = format!("http://127.0.0.1:{}", web.port);
    let headers = [("Cookie", mine.as_str()), ("Origin", own.as_str())];
    assert_eq!(web.send("POST", "/logout", &headers, "").status, 303);
    assert_eq!((web.page("/services", &mine).status, web.page("/services", &other).status), (303, 200));
}

#[test]
fn a_request_with_two_names_for_us_is_refused() {
    let web = Web::start(&[]);
    let authorization = format!("Bearer {}", web.token);
    let own = format!("127.0.0.1:{}", web.port);
    let twice = [("Authorization", authorization.as_str()), ("Host", &own), ("Host", &own)];
    assert_eq!(web.send("GET", "/api/v1/status", &twice, "").status, 400);
    let absolute = format!("http://{own}/api/v1/status");
    assert_eq!(web.send("GET", &absolute, &twice[..2], "").status, 400);
    assert_eq!(web.send("GET", "/api/v1/status", &twice[..2], "").status, 200);
}

#[test]
fn the_printed_link_lets_one_person_in_once() {
    let web = Web::start_at_a_terminal();
    let code = web.link.rsplit_once("code=").expect("a code").1.to_owned();
    assert!(web.page(&format!("/login?code={code}"), "").body.contains(&code), "a form carries it on");
    assert_eq!(web.form("/login", "", &[("code", &code), ("name", "alice")]).status, 303);
    assert_eq!(web.form("/login", "", &[("code", &code), ("name", "mallory")]).status, 401);
    let file = web.agent.folder.path().join("store/web.token");
    let mode = std::fs::metadata(&file).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode, 0o600, "the token is for this user only");
}

/// Logs are kept, and read by many.
#[test]
fn a_log_that_is_no_terminal_holds_nothing_that_lets_anybody_in() {
    let web = Web::start(&[]);
    assert_eq!(web.link, format!("http://127.0.0.1:{}/", web.port));
    let said = web.said.to_string();
    assert!(said.contains("oxide-operator token") && !said.contains("code="), "{said}");
    assert!(!said.contains(&web.token), "{said}");
    let printed = web.agent.command("file:default.yaml", &["token"]);
    assert_eq!(String::from_utf8_lossy(&printed.stdout).trim(), web.token);
    assert_eq!(web.form("/login", "", &[("code", ""), ("name", "mallory")]).status, 401);
}

#[test]
fn a_login_never_leads_to_another_site_whatever_browsers_drop_from_an_address() {
    let web = Web::start(&[]);
    for back in ["/\t/evil.example", "/\n/evil.example", "//evil.example", "/x\r\nSet-Cookie: a=b", "/\0"] {
        let reply = web.form("/login", "", &[("token", &web.token), ("name", ""), ("back", back)]);
        assert_eq!((reply.status, reply.header("location")), (303, Some("/")), "{back:?}");
    }
}

#[test]
fn two_agents_on_one_host_do_not_end_each_others_sessions() {
    let (one, two) = (Web::start(&[]), Web::start(&[]));
    let both = format!("{}; {}", one.log_in("alice"), two.log_in("alice"));
    assert_eq!((one.page("/", &both).status, two.page("/", &both).status), (200, 200));
}

/// The health port is open to everybody in a cluster.
#[test]
fn probes_and_the_loop_go_on_while_somebody_holds_half_open_requests() {
    let mut agent = Agent::on_a_file();
    let half_open = format!("GET /metrics HTTP/1.1\r\nHost: x\r\nX: {}", "a".repeat(400 << 10));
    let before = resident_bytes(&agent);
    let held: Vec<TcpStream> = (0..300)
        .map(|_| {
            let mut stream = TcpStream::connect(("127.0.0.1", agent.port)).expect("listens");
            stream.set_write_timeout(Some(Duration::from_secs(5))).expect("set");
            // The server may close it in the middle of what is too long.
            let _ = stream.write_all(half_open.as_bytes());
            stream
        })
        .collect();
    for path in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(agent.get(path).0, 200, "{path}");
    }
    let grown = resident_bytes(&agent).saturating_sub(before);
    assert!(grown < 16 << 20, "{grown} bytes for 300 requests of 400 kB each");
    std::fs::write(agent.yaml(), agent::with_workers(17)).expect("written");
    agent.wait_for_outcome("applied");
    assert_eq!(agent.workers(), 17);
    drop(held);
}

#[test]
fn an_agent_with_few_descriptors_goes_on_while_both_its_ports_are_held() {
    let mut program = Command::new("sh");
    program.args(["-c", "ulimit -n 64; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_oxide-operator")]);
    let mut web = Web::start_with(program, &[]);
    let ports = [web.port, web.agent.port];
    let held: Vec<TcpStream> = (0..50)
        .flat_map(|_| ports)
        .map(|port| {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("listens");
            let _ = stream.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX: ");
            stream
        })
        .collect();
    let began = Instant::now();
    std::fs::write(web.agent.yaml(), agent::with_workers(17)).expect("written");
    web.agent.wait_for_outcome("applied");
    assert_eq!(
        (web.agent.workers(), web.agent.get("/readyz").0, web.get("/api/v1/status").status),
        (17, 200, 200)
    );
    // Sooner than the held ones are cut off for saying nothing.
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    drop(held);
}

fn resident_bytes(agent: &Agent) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", agent.child.id())).expect("runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a size");
    let kilobytes: u64 = line.split_whitespace().nth(1).expect("a number").parse().expect("a number");
    kilobytes << 10
}

#[test]
fn another_token_shuts_everybody_out_at_once() {
    let web = Web::start(&[]);
    let cookie = web.log_in("alice");
    assert_eq!(web.page("/", &cookie).status, 200);
    let events = web.events();
    std::fs::write(web.agent.folder.path().join("store/web.token"), "x".repeat(40)).expect("written");
    assert_eq!((web.page("/", &cookie).status, web.get("/api/v1/status").status), (303, 401));
    events.wait_for_end();
}

/// Stored scripts: names, values, reasons and errors that are markup.
#[test]
fn markup_in_names_and_values_is_text() {
    let web = Web::start(&[]);
    let cookie = web.log_in("<script>alert(1)</script>");
    let payload = "\"><img src=x onerror=alert(1)>'</script><script>alert(2)</script>{{7*7}}";
    let service = json!({"id": payload, "type": "http", "base_url": payload, "api_type": "ollama", "default_model": payload, "site_name": payload, "capabilities": [payload]});
    let reply = web.write("POST", "/api/v1/services?reason=%3Cb%3Ebold%3C/b%3E", None, &service);
    assert_eq!(reply.status, 201, "{reply:?}");
    let pause = json!({"reason": payload, "scope": "services.x*"});
    assert_eq!(web.write("POST", "/api/v1/pauses", None, &pause).status, 201);
    let name: String =
        form_urlencoded::byte_serialize(payload.as_bytes()).collect::<String>().replace('+', "%20");
    let pages = [
        "/",
        "/drift",
        "/services",
        "/history",
        "/history/2",
        "/backups",
        "/activity",
        "/services?q=%3Cscript%3E",
    ];
    let of_it =
        [format!("/services/of/{name}"), format!("/services/of/{name}/remove"), format!("/nowhere/{name}")];
    for path in pages.into_iter().chain(of_it.iter().map(String::as_str)) {
        let reply = web.page(path, &cookie);
        assert!(reply.status == 200 || reply.status == 404, "{path}: {}", reply.status);
        for markup in ["<img src=x", "<script>alert", "<b>bold"] {
            assert!(!reply.body.contains(markup), "{path} holds {markup}");
        }
    }
    assert!(web.page("/services", &cookie).body.contains("&#60;img src=x"), "it is there, as text");
}

/// Keys: written, and never read again, by anybody, in any form.
#[test]
fn no_answer_and_no_page_holds_a_key() {
    const CANARY: &str = "sk-canary-9f8e7d6c5b4a";
    let web = Web::start(&[]);
    let cookie = web.log_in("alice");
    let key = json!({"api_key": CANARY});
    let mut replies = vec![
        web.write("PATCH", "/api/v1/services/openrouter?dryRun=true", Some("*"), &key),
        web.write("PATCH", "/api/v1/services/openrouter", Some("*"), &key),
        // Broken in every way that an error could quote.
        web.write("PATCH", "/api/v1/services/openrouter", Some("*"), &json!({"api_key": [CANARY]})),
        web.write("PATCH", "/api/v1/services/openrouter", Some("*"), &json!({"api_key": {"x": CANARY}})),
        web.ask(
            "PATCH",
            "/api/v1/services/openrouter",
            &[("Content-Type", "application/json"), ("If-Match", "*")],
            &format!("{{\"api_key\": \"{CANARY}\""),
        ),
        web.write(
            "POST",
            "/api/v1/services",
            None,
            &json!({"id": "x", "type": "http", "api_key": CANARY, "base_url": 1}),
        ),
        web.write(
            "PATCH",
            "/api/v1/config",
            Some("*"),
            &json!({"services": {"openrouter": {"api_key": CANARY, "type": 5}}}),
        ),
        web.write(
            "PUT",
            "/api/v1/config?dryRun=true",
            Some("*"),
            &json!({"services": {"openrouter": {"type": "http", "api_key": CANARY}}}),
        ),
        web.form(
            "/services/check",
            &cookie,
            &[("id", "openrouter"), ("api_key", CANARY), ("max_retries", "x")],
        ),
        web.form(
            "/services/of/openrouter",
            &cookie,
            &[("etag", "old"), ("api_key", CANARY), ("type", "http")],
        ),
        web.form("/services/new", &cookie, &[("id", "y"), ("api_key", CANARY), ("type", "colour")]),
    ];
    assert_eq!(replies[1].status, 200, "{:?}", replies[1]);
    for path in [
        "status",
        "config",
        "services",
        "services/openrouter",
        "drift",
        "plan",
        "explain/services.openrouter.api_key",
        "history",
        "history/2",
        "history/1/diff",
        "backups",
        "decisions",
    ] {
        replies.push(web.get(&format!("/api/v1/{path}")));
    }
    let promote = json!({"paths": ["services.openrouter"]});
    replies.push(web.write("POST", "/api/v1/drift/promote?dryRun=true", Some("*"), &promote));
    for path in [
        "/",
        "/drift",
        "/services",
        "/services/of/openrouter",
        "/history",
        "/history/2",
        "/history/2/undo",
        "/drift/answer?as=promote&path=services.openrouter.api_key",
        "/drift/answer?as=revert&path=services.openrouter.api_key",
        "/activity",
    ] {
        replies.push(web.page(path, &cookie));
    }
    let sample = "sk-or-v1-";
    for reply in &replies {
        assert!(!reply.body.contains(CANARY), "{reply:?}");
        assert!(
            !reply.body.contains("gAAAA") && !reply.body.contains(sample),
            "a token, or the sample's key: {reply:?}"
        );
    }
    let dots = web.write("PATCH", "/api/v1/services/openrouter", Some("*"), &json!({"api_key": "••••"}));
    assert_eq!(dots.status, 422, "what stands for a key is none");
}

/// A request must not make the program read its files or its environment.
#[test]
fn a_request_cannot_point_to_files_or_the_environment() {
    let web = Web::start(&[]);
    for key in [
        json!({"api_key": "${HOME}"}),
        json!({"apiKeyFrom": {"file": "/etc/hostname"}}),
        json!({"apiKeyFrom": {"env": "PATH"}}),
    ] {
        let reply = web.write("PATCH", "/api/v1/services/openrouter", Some("*"), &key);
        assert_eq!(reply.status, 422, "{key}: {reply:?}");
        let whole = json!({"services": {"openrouter": {"type": "http", "base_url": "http://x"}}});
        let mut whole = whole;
        whole["services"]["openrouter"]
            .as_object_mut()
            .expect("an object")
            .extend(key.as_object().expect("an object").clone());
        assert_eq!(web.write("PUT", "/api/v1/config?confirmPrune=5", Some("*"), &whole).status, 422, "{key}");
    }
}

#[test]
fn names_of_backups_and_revisions_are_compared_and_never_made_a_path_of() {
    let web = Web::start(&[]);
    let outside = web.agent.folder.path().join("outside.db");
    std::fs::copy(web.database(), &outside).expect("copied");
    for name in ["..%2F..%2Foutside", "%2Fetc%2Fpasswd", "..", "outside.db", "%00", "config-", ".%2e%2f"] {
        for (method, path) in
            [("GET", format!("/api/v1/backups/{name}")), ("POST", format!("/api/v1/backups/{name}/restore"))]
        {
            let reply = web.write(method, &path, Some("*"), &json!({}));
            assert!(matches!(reply.status, 400 | 404 | 405), "{method} {path}: {reply:?}");
        }
    }
    for revision in ["0", "-1", "x", "99999999999999999999", "o0", "1%2F..%2F2"] {
        assert!(matches!(web.get(&format!("/api/v1/history/{revision}")).status, 400 | 404), "{revision}");
    }
    assert_eq!(web.page("/assets/..%2F..%2Fweb.token", "").status, 404);
}

#[test]
fn a_body_that_is_too_large_or_no_json_is_refused() {
    let web = Web::start(&[]);
    let large = format!("{{\"site_name\": \"{}\"}}", "x".repeat(9 << 20));
    let headers = [("Content-Type", "application/json"), ("If-Match", "*")];
    assert_eq!(web.ask("PATCH", SERVICE, &headers, &large).status, 413);
    for body in ["", "{", "[]", "null", "\"x\"", "{\"a\":1}{", &"[".repeat(100_000)] {
        let status = web.ask("PATCH", SERVICE, &headers, body).status;
        assert!(matches!(status, 400 | 422), "{status}: {}", &body[..body.len().min(20)]);
    }
    let form = [("Content-Type", "text/plain"), ("If-Match", "*")];
    assert_eq!(web.ask("PATCH", SERVICE, &form, "{}").status, 415, "a form of another site cannot send JSON");
    let cookie = web.log_in("");
    assert_eq!(web.form("/services/check", &cookie, &[("site_name", &"x".repeat(1 << 20))]).status, 413);
    let many: String = (0..70_000).map(|number| format!("X-{number}: y\r\n")).collect();
    let reply = web.send("GET", "/login", &[("X", &format!("1\r\n{many}"))], "");
    assert!(matches!(reply.status, 0 | 400 | 431), "{}", reply.status);
    assert_eq!(web.get("/api/v1/status").status, 200, "others are served all the while");
}

/// A client that takes for ever to say what it wants holds nobody up and is cut off.
#[test]
fn a_slow_client_is_cut_off() {
    let web = Web::start(&[]);
    let mut slow: Vec<TcpStream> = (0..50)
        .map(|_| {
            let mut stream = TcpStream::connect(("127.0.0.1", web.port)).expect("listens");
            stream.write_all(b"GET / HTTP/1.1\r\nHost: loc").expect("sent");
            stream
        })
        .collect();
    assert_eq!(web.get("/api/v1/status").status, 200);
    let began = Instant::now();
    let first = slow.first_mut().expect("one");
    first.set_read_timeout(Some(Duration::from_secs(20))).expect("set");
    let mut rest = Vec::new();
    first.read_to_end(&mut rest).expect("closed by the server");
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
}

#[test]
fn the_page_is_on_loopback_unless_told_otherwise_and_can_be_off() {
    let web = Web::start(&[]);
    let listening = std::fs::read_to_string("/proc/net/tcp").expect("Linux");
    let wanted = format!("0100007F:{:04X}", web.port);
    assert!(listening.contains(&wanted) && !listening.contains(&format!("00000000:{:04X}", web.port)));
    let mut agent = Agent::start(folder_with_yaml(), "file:default.yaml", &["--listen", "off"]);
    agent.wait_for_outcome("applied");
    assert!(!agent.folder.path().join("store/web.token").exists(), "no token where there is no page");
}

#[test]
fn a_wrong_method_or_path_is_a_problem_and_no_page_of_a_framework() {
    let web = Web::start(&[]);
    for (method, path, status) in
        [("DELETE", "/api/v1/status", 405), ("GET", "/api/v1/nothing", 404), ("POST", "/api/v2/status", 404)]
    {
        let reply = web.ask(method, path, &[], "");
        assert_eq!(reply.status, status, "{method} {path}");
        assert_eq!(reply.header("content-type"), Some("application/problem+json"), "{method} {path}");
        assert_eq!(reply.json()["status"], Json::from(status));
    }
}

/// A session as the server signs it, of whatever it says.
fn session(web: &Web, until: u64, rights: &str) -> String {
    let mine = web.log_in("alice");
    let (name, value) = mine.split_once('=').expect("a cookie");
    let mut claim: Vec<&str> = value.split('.').collect();
    let until = until.to_string();
    (claim[0], claim[1]) = (&until, rights);
    let claim = claim[..claim.len() - 1].join(".");
    let mut mac = Hmac::<Sha256>::new_from_slice(web.token.as_bytes()).expect("any length");
    mac.update(b"oxide-operator session v1\0");
    mac.update(claim.as_bytes());
    format!("{name}={claim}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs()
}

#[test]
fn who_may_only_look_changes_nothing() {
    let web = Web::start(&[]);
    let (reader, writer) = (session(&web, now() + 60, "r"), session(&web, now() + 60, "w"));
    let origin = format!("http://127.0.0.1:{}", web.port);
    let patch = |cookie: &str| {
        let headers = [
            ("Cookie", cookie),
            ("Origin", origin.as_str()),
            ("Content-Type", "application/json"),
            ("If-Match", "*"),
        ];
        web.send("PATCH", SERVICE, &headers, "{\"max_retries\": 9}").status
    };
    let retries = || web.get(SERVICE).json()["max_retries"].clone();
    assert_eq!(web.page("/services", &reader).status, 200, "it may look");
    assert_eq!(
        web.form("/theme", &reader, &[("theme", "dark")]).status,
        303,
        "what is its own it may change"
    );
    assert_eq!(patch(&reader), 403);
    assert_eq!(web.form("/backups", &reader, &[("reason", "evil")]).status, 403);
    assert_ne!(retries(), 9);
    assert_eq!(patch(&writer), 200, "the same by somebody who may");
    assert_eq!(retries(), 9);
}

#[test]
fn a_session_that_is_over_lets_nobody_in_and_none_is_for_ever() {
    let web = Web::start(&[]);
    let over = session(&web, now() - 1, "w");
    assert_eq!(web.page("/services", &over).status, 303, "to the login");
    assert_eq!(web.page("/services", &session(&web, now() + 60, "w")).status, 200);
    let mine = web.log_in("alice");
    let until: u64 = mine.split(['=', '.']).nth(1).and_then(|until| until.parse().ok()).expect("a time");
    assert!((now()..=now() + 86_400).contains(&until), "a session until {until}");
}
