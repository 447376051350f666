//! Accounts of the cluster on the page and the API: known by their tokens, allowed what they are on the `OxideStore`.

use std::net::TcpListener;

use serde_json::json;

use crate::web::Client;
use crate::world::{World, two_services};

#[test]
fn an_account_of_the_cluster_may_do_on_the_page_what_it_may_do_with_the_store() {
    let world = World::new("accounts");
    world.declare(&two_services());
    for (account, verbs) in [("viewer", "get"), ("editor", "get,update"), ("stranger", "list")] {
        world.kubectl(&["create", "serviceaccount", account]);
        world.kubectl(&[
            "create",
            "role",
            account,
            "--resource=oxidestores.oxide.dev",
            &format!("--verb={verbs}"),
        ]);
        let subject = format!("--serviceaccount=accounts:{account}");
        world.kubectl(&["create", "rolebinding", account, &format!("--role={account}"), &subject]);
    }
    let port =
        TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port();
    let agent = world.agent(&["--token-review", "--listen", &format!("127.0.0.1:{port}")]);
    let client = |token: &str| Client { port, token: token.trim().to_owned() };
    let of =
        |account: &str| client(&world.kubectl(&["create", "token", account, "--audience=oxide-operator"]));
    let (viewer, editor, stranger) = (of("viewer"), of("editor"), of("stranger"));
    let nobody = client("a-token-that-nobody-gave-anybody");
    let elsewhere = client(&world.kubectl(&["create", "token", "editor"]));
    let by_file =
        client(&std::fs::read_to_string(agent.folder.path().join("store/web.token")).expect("a token"));

    world.api.inside(|| {
        let look = |who: &Client| who.get("/api/v1/services/gemini").status;
        assert_eq!([&viewer, &editor, &by_file].map(look), [200, 200, 200]);
        assert_eq!([&stranger, &nobody, &elsewhere].map(look), [401, 401, 401]);

        let change = |who: &Client, enabled: bool| {
            let tag = who.get("/api/v1/services/gemini").etag().to_owned();
            who.write("PATCH", "/api/v1/services/gemini", Some(&tag), &json!({"enabled": enabled}))
        };
        let refused = change(&viewer, false);
        assert_eq!(refused.status, 403, "{refused:?}");
        assert!(refused.body.contains("update"), "it says what right is missing: {refused:?}");
        let changed = change(&editor, false);
        assert_eq!(changed.status, 200, "{changed:?}");

        // A browser: the page lets an account look, and a session can no more than its account.
        let cookie = viewer.log_in("somebody else");
        assert_eq!(viewer.send("GET", "/services", &[("Cookie", &cookie)], "").status, 200);
        let form = viewer.form("/pause", &cookie, &[("reason", "x")]);
        assert_eq!(form.status, 403, "{form:?}");
    });
    let enabled: bool = agent
        .orchestrator()
        .query_row("SELECT enabled FROM services WHERE id = 'gemini'", [], |row| row.get(0))
        .expect("there");
    assert!(!enabled);
    let mut history = world.beside(&agent, &["history"]);
    let history = String::from_utf8(history.output().expect("runs").stdout).expect("text");
    assert!(history.contains("system:serviceaccount:accounts:editor"), "{history}");
}
