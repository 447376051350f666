use super::*;
use crate::model::{FieldId, SourceDocument, Value};

/// A source that refers to no secret.
pub(super) struct NoSecrets;

impl ResolveSecrets for NoSecrets {
    fn resolve(&self, reference: &SecretReference) -> Result<SecretText, String> {
        match reference {
            SecretReference::Env(name) if name == "KNOWN" => Ok(SecretText::new("sk-from-env")),
            other => Err(format!("{other} is not set")),
        }
    }
}

fn source(texts: &[(&str, &str)]) -> SourceSnapshot {
    let documents = texts
        .iter()
        .map(|(name, text)| SourceDocument { name: (*name).into(), bytes: text.as_bytes().to_vec() })
        .collect();
    SourceSnapshot { origin: "test".into(), documents }
}

fn read_all(texts: &[(&str, &str)]) -> Result<DesiredConfig, Vec<Finding>> {
    read(&source(texts), &NoSecrets, &Fingerprinter::derived_from(b"key"))
}

fn refused(text: &str) -> String {
    let findings = read_all(&[("c.yaml", text)]).expect_err("must be refused");
    findings.iter().map(|finding| format!("{finding}\n")).collect()
}

const OK: &str = "services:\n  a:\n    type: cli\n    executable: run\n";

#[test]
fn a_configuration_is_read_with_its_order_and_carried_sections() {
    let text = "services:\n  b:\n    type: cli\n    executable: run\n  a: {type: http, base_url: 'http://x', enabled: no}\nlogging:\n  level: INFO\n";
    let desired = read_all(&[("c.yaml", text)]).expect("valid");
    let ids: Vec<&str> = desired
        .configuration()
        .section(Section::Services)
        .expect("in scope")
        .keys()
        .map(|id| &**id)
        .collect();
    assert_eq!(ids, ["b", "a"]);
    assert_eq!(desired.configuration().value(Section::Services, "a", "enabled"), Some(&Value::Flag(false)));
    assert!(desired.configuration().section(Section::RoutingRules).is_none());
    assert_eq!(desired.carried().0[0].yaml, "logging:\n  level: INFO\n");
}

#[test]
fn absent_null_and_a_value_are_three_things() {
    let desired =
        read_all(&[("c.yaml", &format!("{OK}    models: []\n    site_url: null\n"))]).expect("valid");
    let object = desired.configuration().get(Section::Services, "a").expect("declared").clone();
    let value = |name: &str| object.get(Section::Services.field(name).unwrap_or(FieldId(0)));
    assert_eq!(value("models"), Some(&Value::Unset));
    assert_eq!(value("site_url"), Some(&Value::Unset));
    assert_eq!(value("site_name"), None);
}

#[test]
fn all_findings_come_at_once_with_place_and_suggestion() {
    let text = "services:\n  a:\n    type: htp\n    base_ulr: http://x\n    max_retries: many\n";
    let expected = "error: services.a.type: expected one of cli, http, found `htp`
 --> c.yaml:3:11
  |
3 |     type: htp
  |           ^^^
  help: did you mean `http`?
error: services.a: unknown field `base_ulr`
 --> c.yaml:4:5
  |
4 |     base_ulr: http://x
  |     ^^^^^^^^
  help: did you mean `base_url`?
error: services.a.max_retries: expected a whole number, found text
 --> c.yaml:5:18
  |
5 |     max_retries: many
  |                  ^^^^
";
    assert_eq!(refused(text), expected);
}

#[test]
fn a_rule_that_names_no_service_is_underlined_at_the_name() {
    let text = format!("{OK}routing_rules:\n  t:\n    primary: a\n    fallback: [a, aa]\n");
    let message = refused(&text);
    assert!(message.contains("no service is called `aa`"), "{message}");
    assert!(message.contains("c.yaml:8:19"), "{message}");
}

#[test]
fn invalid_configurations_are_refused() {
    let cases = [
        ("services: null\n", "null says neither"),
        ("", "declares none of"),
        ("# only a comment\n", "declares none of"),
        ("logging: {}\n", "declares none of"),
        ("[1, 2]\n", "expected the sections"),
        ("services:\n  a: null\n", "nothing is declared here"),
        ("services:\n  a:\n    type: cli\n", "needs an `executable`"),
        ("services:\n  a:\n    type: http\n", "needs a `base_url`"),
        ("services:\n  a:\n    executable: x\n", "needs a `type`"),
        ("services:\n  a: {type: cli, executable: x, enabled: false}\n", "no service is enabled"),
        ("services:\n  1: {type: cli, executable: x}\n", "a name must be text, found a whole number"),
        ("services:\n  a: {type: cli, executable: x, type: cli}\n", "stands here twice"),
        ("services:\n  a: {type: cli, executable: x}\n  a: {type: cli, executable: x}\n", "declared twice"),
        ("services:\n  a: {type: cli, executable: x}\nservices: {}\n", "stands here twice"),
        ("services:\n  a: {type: cli, executable: [x]}\n", "found a list"),
        ("services:\n  a: {type: cli, executable: x, models: m}\n", "expected a list"),
        ("services:\n  a: {type: cli, executable: x, models: [1]}\n", "quote it"),
        ("services:\n  a: {type: cli, executable: x, enabled: null}\n", "null is not a value"),
        (
            "services:\n  a: {type: cli, executable: x, api_key: \"${UNKNOWN}\"}\n",
            "environment variable UNKNOWN is not set",
        ),
        ("services:\n  a: {type: cli, executable: x, api_key: \"${a b}\"}\n", "takes the name of one"),
        ("services:\n  a: {type: cli, executable: x, apiKeyFrom: {vault: y}}\n", "takes one of"),
        (
            "services:\n  a: {type: cli, executable: x, api_key: y, apiKeyFrom: {env: KNOWN}}\n",
            "both `api_key`",
        ),
        ("services:\n  a: {type: cli\n", "c.yaml:"),
        ("services:\n\ta: 1\n", "c.yaml:2"),
        ("a: 1\n---\nb: 2\n", "second document"),
    ];
    for (text, expected) in cases {
        let message = refused(text);
        assert!(message.contains(expected), "{text}\n{message}");
    }
}

#[test]
fn bytes_that_are_not_utf8_are_refused_with_their_place() {
    let mut snapshot = source(&[("c.yaml", "")]);
    snapshot.documents[0].bytes = b"services:\n  a\xff: x\n".to_vec();
    let findings = read(&snapshot, &NoSecrets, &Fingerprinter::derived_from(b"k")).expect_err("not UTF-8");
    assert_eq!(findings[0].message, "c.yaml:2:4: this byte is not UTF-8");
}

#[test]
fn a_source_that_is_too_large_is_refused_before_it_is_parsed() {
    let mut snapshot = source(&[("c.yaml", "")]);
    snapshot.documents[0].bytes = vec![b'#'; MAX_SOURCE_BYTES + 1];
    let findings = read(&snapshot, &NoSecrets, &Fingerprinter::derived_from(b"k")).expect_err("too large");
    assert!(findings[0].message.contains("at most 67 MB"), "{}", findings[0]);
}

#[test]
fn a_folder_is_merged_by_section_and_one_object_in_two_files_is_an_error() {
    let other = "services:\n  b: {type: cli, executable: run}\n";
    let desired = read_all(&[("a.yaml", OK), ("b.yaml", other)]).expect("valid");
    assert_eq!(desired.configuration().count(Section::Services), 2);
    let findings = read_all(&[("a.yaml", OK), ("b.yaml", OK)]).expect_err("declared twice");
    assert_eq!(findings[0].message, "already declared in a.yaml");
    assert_eq!(findings[0].location.as_ref().expect("located").file, "b.yaml");
}

#[test]
fn keys_are_taken_from_where_the_source_says() {
    let text = format!(
        "{OK}    api_key: ${{KNOWN}}\n  b: {{type: cli, executable: x, apiKeyFrom: {{env: KNOWN}}}}\n  c: {{type: cli, executable: x, api_key: sk-plain}}\n"
    );
    let desired = read_all(&[("c.yaml", &text)]).expect("valid");
    let key = |id| match desired.configuration().value(Section::Services, id, "api_key") {
        Some(Value::Secret(secret)) => secret.plain.as_ref().map(|text| text.expose().to_owned()),
        _ => None,
    };
    assert_eq!(key("a").as_deref(), Some("sk-from-env"));
    assert_eq!(key("b").as_deref(), Some("sk-from-env"));
    assert_eq!(key("c").as_deref(), Some("sk-plain"));
    assert_eq!(desired.plaintext_secrets(), 1);
}

#[test]
fn a_fault_beside_a_key_never_shows_the_key() {
    for text in [
        "services:\n  a: {type: htp, api_key: sk-canary-1}\n",
        "services:\n  a:\n    api_kye: sk-canary-1\n",
        "services:\n  a:\n    api_key: [sk-canary-1]\n",
        "services:\n  a:\n    api_key: {x: sk-canary-1}\n",
        "services:\n  a:\n    api_key: \"sk-canary-1\n",
        "services:\n  a:\n    api_key: |\n      sk-canary-1\n   x\n",
        "services:\n  a:\n    api_key: sk-canary-1\n   bad: indent\n",
        "services:\n  a:\n    api_key: \"${sk-canary-1}\"\n",
    ] {
        let message = refused(text);
        assert!(!message.contains("canary"), "{message}");
    }
}

#[test]
fn a_misspelt_section_is_an_error_with_a_suggestion() {
    let refused = refused(&format!("{OK}loging: {{}}\n"));
    assert!(refused.starts_with("error: loging: unknown section"), "{refused}");
    assert!(refused.contains("did you mean `logging`?"), "{refused}");
}

#[test]
fn an_unknown_section_is_kept_and_said() {
    let desired = read_all(&[("c.yaml", &format!("{OK}colours: {{}}\nx-any: {{}}\n"))]).expect("valid");
    let said: Vec<_> = desired.warnings().iter().map(|finding| finding.path.as_deref()).collect();
    assert_eq!(said, [Some("colours")]);
}

proptest::proptest! {
    #[test]
    fn no_text_makes_reading_panic(text in ".{0,300}") {
        let _ = read_all(&[("c.yaml", &text)]);
    }

    #[test]
    fn no_damage_to_a_valid_file_makes_reading_panic(at in 0_usize..400, with in ".{0,3}") {
        let text = include_str!("../../config/default.yaml");
        let at = (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        let _ = read_all(&[("c.yaml", &format!("{}{with}{}", &text[..at], &text[at..]))]);
    }
}

#[test]
fn a_finding_in_a_line_of_any_length_shows_what_is_around_it() {
    let entries: Vec<String> = (0..4_000).map(|n| format!("s{n}: {{type: cli, executable: ä}}")).collect();
    let text =
        format!("{{services: {{{}, odd: {{type: cli, executable: a, tpye: cli}}}}}}\n", entries.join(", "));
    let column = text.chars().count() - "tpye: cli}}}\n".len() + 1;
    assert!(column > usize::from(u16::MAX));
    let findings = read_all(&[("c.yaml", &text)]).expect_err("an unknown field");
    let location = findings[0].location.as_ref().expect("a place");
    assert_eq!((location.line, location.column), (1, column));
    let shown = findings[0].to_string();
    assert!(shown.len() < 600, "{shown}");
    let marks = shown.lines().find(|line| line.contains('^')).expect("marks");
    let line = shown.lines().find(|line| line.contains("tpye: cli")).expect("the line");
    let place = |line: &str, what: &str| line.split(what).next().map(|before| before.chars().count());
    assert_eq!(place(line, "tpye"), place(marks, "^"), "{shown}");
}

#[test]
fn of_many_findings_the_first_are_shown_and_the_others_counted() {
    let fields: Vec<String> = (0..5_000).map(|n| format!("    odd{n}: 1\n")).collect();
    let text = format!("services:\n  a:\n    type: cli\n    executable: a\n{}", fields.concat());
    let findings = read_all(&[("c.yaml", &text)]).expect_err("unknown fields");
    assert_eq!(findings.len(), 101);
    assert!(findings[..100].iter().all(|finding| finding.location.is_some()));
    assert_eq!(findings[100].message, "and 4900 more findings");
}

#[test]
fn an_object_that_two_of_three_files_declare_is_refused_with_the_first_of_them() {
    let text = |id: &str| format!("services:\n  {id}: {{type: cli, executable: x}}\n");
    let (one, two, three) = (text("a") + &text("b").replace("services:\n", ""), text("c"), text("b"));
    let findings =
        read_all(&[("1.yaml", &one), ("2.yaml", &two), ("3.yaml", &three)]).expect_err("declared twice");
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0].message, "already declared in 1.yaml");
    assert_eq!(findings[0].location.as_ref().map(|at| (&*at.file, at.line)), Some(("3.yaml", 2)));
}

/// The value of a field of the service `a`.
fn field(text: &str, name: &str) -> Option<Value> {
    let desired = read_all(&[("c.yaml", text)]).unwrap_or_else(|findings| panic!("{text}\n{findings:?}"));
    desired.configuration().value(Section::Services, "a", name).cloned()
}

#[test]
fn several_merge_keys_are_merged_as_the_orchestrator_merges_them() {
    let text = "x-1: &d {max_retries: 1, retry_delay: 1}\nx-2: &e {max_retries: 2}\nservices:\n  a:\n    type: cli\n    executable: a\n    <<: *d\n    <<: *e\n";
    assert_eq!(field(text, "max_retries"), Some(Value::Integer(2)));
    assert_eq!(field(text, "retry_delay"), Some(Value::Integer(1)));
    let message = refused("x: &d\n  services: {a: {type: cli, executable: x}}\n<<: *d\n");
    assert!(message.contains("not between sections"), "{message}");
}

#[test]
fn an_explicit_type_is_the_type() {
    let service = |field: &str| format!("services:\n  a: {{type: cli, executable: x, {field}}}\n");
    assert_eq!(field(&service("max_retries: !!int \"5\""), "max_retries"), Some(Value::Integer(5)));
    assert_eq!(field(&service("site_name: !!str 5"), "site_name"), Some(Value::Text("5".into())));
    assert_eq!(field(&service("enabled: !!bool \"Yes\""), "enabled"), Some(Value::Flag(true)));
    assert_eq!(field(&service("site_url: !!null x"), "site_url"), Some(Value::Unset));
    assert_eq!(
        field(&service("site_name: 2024-01-01T"), "site_name"),
        Some(Value::Text("2024-01-01T".into()))
    );
    assert!(refused(&service("max_retries: !!int five")).contains("`!!int` stands before a text"));
}

#[test]
fn what_the_orchestrator_could_not_start_from_is_refused_with_help() {
    let service = |field: &str| format!("services:\n  a: {{type: cli, executable: x, {field}}}\n");
    let block = |line: &str| format!("services:\n  a:\n    type: cli\n    executable: x\n{line}\n");
    let cases = [
        (service("api_key: !secret openai"), "`!secret` is not supported", "${NAME}"),
        (service("site_name: !Ref x"), "`!Ref` is not supported", "remove the tag"),
        (service("models: !!set {m}"), "`!!set` is not supported", "remove the tag"),
        (block("    site_name:\tx"), "a tab stands where", "replace the tab with spaces"),
        (block("    site_name: x\t# c"), "a tab stands where", "replace the tab with spaces"),
        (block("   site_name: x"), "belongs to nothing above it", "indent it exactly"),
        (block("     site_name: x"), "a key is not allowed here", "indent it exactly"),
        (service("base_url: http://x?y"), "expected `,` or `}`", "stands in quotes"),
        (service("models: [&m x, &m y]"), "a second anchor is called `m`", "a name of its own"),
        (service("site_name: &é x"), "the name of an anchor", "in quotes"),
        (service("site_name: ="), "`=` is no value", "quote it"),
        (service("site_name: 2024-02-30"), "is a date that does not exist", "quote it"),
        (service("site_name: \"\\ud83d\\ude00\""), "half a character", "\\U"),
        (
            "services:\n  \"\": {type: cli, executable: x}\n".into(),
            "a name must not be empty",
            "give it a name",
        ),
    ];
    for (text, message, help) in cases {
        let found = refused(&text);
        let helps = found.lines().any(|line| line.contains("help:") && line.contains(help));
        assert!(found.contains(message) && helps, "{text}\n{found}");
    }
}

#[test]
fn what_is_empty_is_as_good_as_missing_where_something_is_needed() {
    for service in ["{type: http, base_url: ''}", "{type: cli, executable: ''}"] {
        let found = refused(&format!("services:\n  a: {service}\n"));
        assert!(found.contains("a service of type"), "{found}");
    }
}

#[test]
fn every_key_in_plain_text_is_counted() {
    let with = |keys: &str| format!("services:\n  a: {{type: cli, executable: x}}\n{keys}");
    let service = |id: &str| format!("  {id}: {{type: cli, executable: x, api_key: sk-plain-{id}}}\n");
    for (keys, count) in [(String::new(), 0), (service("b"), 1), (service("b") + &service("c"), 2)] {
        let desired = read_all(&[("c.yaml", &with(&keys))]).expect("valid");
        assert_eq!(desired.plaintext_secrets(), count);
    }
}

#[test]
fn a_tag_ends_where_its_line_does_and_nothing_sticks_to_it() {
    let typed = "services:\n  a:\n    type: cli\n    executable: !!str\n      run\n";
    assert_eq!(field(typed, "executable"), Some(Value::Text("run".into())));
    assert!(refused(&typed.replace("!!str\n      run", "!!str\"run\"")).contains("this is no tag"));
}

#[test]
fn the_escape_that_is_suggested_is_that_of_the_character() {
    for (char, escape) in [
        ('\u{85}', "\"\\N\""),
        ('\u{2028}', "\"\\L\""),
        ('\u{2029}', "\"\\P\""),
        ('\u{7}', "\"\\x07\""),
        ('\u{9b}', "\"\\x9b\""),
        ('\u{fffe}', "\"\\ufffe\""),
    ] {
        let found = refused(&format!("services:\n  a: {{type: cli, executable: \"x{char}y\"}}\n"));
        assert!(found.contains(escape) && found.contains("c.yaml:2:"), "{found}");
        assert!(!found.contains(char), "it is not shown itself");
        let escaped =
            format!("services:\n  a: {{type: cli, executable: \"x{}y\"}}\n", escape.trim_matches('"'));
        assert_eq!(field(&escaped, "executable"), Some(Value::Text(format!("x{char}y").into())));
    }
}

#[test]
fn a_value_that_another_tool_sealed_is_refused_in_any_field() {
    let sealed = "ENC[AES256_GCM,data:eA==,iv:eA==,tag:eA==,type:str]";
    for field in ["api_key: 'X'", "executable: 'X'", "models: ['X']", "max_retries: 'X'", "type: 'X'"] {
        let text = format!(
            "services:\n  a: {{type: cli, executable: x}}\n  b: {{{}}}\n",
            field.replace('X', sealed)
        );
        let found = refused(&text);
        assert!(found.contains("encrypted with SOPS"), "{found}");
    }
    let whole = format!(
        "services:\n  a: {{type: cli, executable: '{sealed}'}}\nsops:\n  mac: {sealed}\n  version: 3.9.0\n"
    );
    let found = refused(&whole);
    assert!(found.contains("the file is encrypted with SOPS") && found.contains("sops --decrypt"), "{found}");
    assert_eq!(found.matches("error:").count(), 1, "one finding, not one for each value: {found}");
    let found = refused("$ANSIBLE_VAULT;1.1;AES256\n6162636465\n");
    assert!(found.contains("the file is encrypted with Ansible Vault"), "{found}");
}

#[test]
fn a_reference_that_nothing_resolves_is_warned_about_and_kept() {
    let text = "services:\n  a: {type: http, base_url: 'localhost:11434', api_key: os.environ/OPENAI_API_KEY}\n  b: {type: http, base_url: '${OLLAMA_URL}', default_model: '{{ model }}'}\n";
    let desired = read_all(&[("c.yaml", text)]).expect("valid");
    let warnings: String = desired.warnings().iter().map(|finding| format!("{finding}\n")).collect();
    for expected in [
        "services.a.api_key: `os.environ/NAME` is how LiteLLM",
        "write `${OPENAI_API_KEY}`",
        "services.a.base_url: the address has no scheme",
        "did you mean `http://localhost:11434`?",
        "services.b.base_url: `${…}` is how a shell",
        "services.b.default_model: `{{ … }}` is how a template",
    ] {
        assert!(warnings.contains(expected), "{expected}\n{warnings}");
    }
    assert_eq!(desired.warnings().len(), 4, "{warnings}");
}

#[test]
fn a_file_of_another_tool_is_called_what_it_is() {
    let cases = [
        (
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, namespace: n}\ndata: {default.yaml: 'services: {}'}\n",
            "Kubernetes manifest (ConfigMap of v1)",
            "configmap:n/c",
        ),
        (
            "apiVersion: oxide.dev/v1\nkind: OxideConfig\nmetadata: {name: c}\nspec:\n  services: {}\n",
            "Kubernetes manifest (OxideConfig",
            "oxideconfig:NAMESPACE/c",
        ),
        (
            "apiVersion: apps/v1\nkind: Deployment\nspec: {replicas: 1}\n---\napiVersion: v1\nkind: Service\n",
            "Kubernetes manifest (Deployment",
            "the configuration itself",
        ),
        ("apiVersion: v2\nname: oxide\nversion: 1.0.0\n", "Chart.yaml", "configmap:"),
        ("image: {repository: x, tag: y}\nreplicaCount: 1\n", "values of a Helm chart", "configmap:"),
        ("services:\n  a:\n    image: x\n    ports: ['80:80']\n", "Docker Compose", "config/default.yaml"),
        (
            "services:\n{{- range .Values.services }}\n  {{ .name }}: {type: cli}\n{{- end }}\n",
            "a template",
            "helm template",
        ),
    ];
    for (text, what, help) in cases {
        let found = refused(text);
        assert!(found.contains(what) && found.contains(help), "{text}\n{found}");
        assert_eq!(found.matches("error:").count(), 1, "{found}");
    }
}

#[test]
fn a_field_whose_value_is_refused_is_not_called_missing_as_well() {
    let found = refused("services:\n  a: {type: cli, executable: 2024-01-01}\n");
    assert_eq!(found.matches("error:").count(), 1, "{found}");
    assert!(refused("services:\n  a: {type: cli, executable: null}\n").contains("needs an `executable`"));
}

#[test]
fn json_is_edited_as_json_whatever_yaml_makes_of_it() {
    for (json, expected) in [
        ("{\n\t\"executable\": \"a\\tb\"\n}", "a\tb"),
        ("{\"executable\": \"\\ud83d\\ude00\"}", "😀"),
        ("{\"executable\": \"\u{7f}\u{2028}\"}", "\u{7f}\u{2028}"),
        ("{executable: a b}", "a b"),
    ] {
        let object =
            partial_object(Section::Services, "a", json, &NoSecrets, &Fingerprinter::derived_from(b"k"))
                .unwrap_or_else(|findings| panic!("{json}: {findings:?}"));
        let executable = Section::Services.field("executable").expect("known");
        assert_eq!(object.get(executable), Some(&Value::Text(expected.into())));
    }
}

#[test]
fn a_snippet_holds_nothing_that_a_terminal_would_obey() {
    for obeyed in ['\r', '\u{202e}', '\u{200f}'] {
        let places = places_of("c.yaml", &format!("a: '{obeyed}b'\n"), &BTreeSet::from(["a".to_owned()]));
        assert_eq!(places["a"].text, "a: '\u{fffd}b'", "{obeyed:?}");
    }
}

#[test]
fn no_message_repeats_what_may_be_a_key() {
    let key = "sk-or-v1-9f8e7d6c5b4a39281706f5e4d3c2b1a0";
    for text in [
        "services:\n  n: {type: http, base_url: http://x, api_key:KEY}\n",
        "services:\n  n: {type: http api_key:KEY}\n",
        "services:\n  n: {type: KEY}\n",
        "services:\n  n: {type: cli, executable: x, api_key: *KEY}\n",
        "services:\n  n: {type: cli, executable: x, api_key: !KEY x}\n",
        "services: {n: {type: cli, executable: x}, api_key:KEY: {}}\n",
        "services: {n: {type: cli, executable: x}, api_key:KEY}\n",
        "execution: {api_key:KEY}\n",
        "execution: {max_retries: KEY}\n",
        "servces: 1\napi_key:KEY: 2\n",
        "services:\n  n: {type: cli, executable: x, apiKeyFrom: {file: KEY}}\n",
        "services:\n  n: {type: cli, executable: x, apiKeyFrom: {env: 9f8e7d6c5b4a39281706f5e4d3c2b1a0}}\n",
        "routing_rules:\n  r: {primary: KEY}\nservices:\n  n: {type: cli, executable: x}\n",
    ] {
        let found = refused(&text.replace("KEY", key));
        assert!(found.contains("error:") && !found.contains("9f8e7d6c5b4a"), "{text}{found}");
    }
}

#[test]
fn an_edit_with_many_faults_is_refused_with_the_first_of_them() {
    let fields: String = (0..5_000).map(|it| format!("\"u{it}\": 1, ")).collect();
    let json = format!("{{{fields}\"type\": \"cli\"}}");
    let found = partial_object(Section::Services, "a", &json, &NoSecrets, &Fingerprinter::derived_from(b"k"));
    let found = found.expect_err("refused");
    assert_eq!(found.len(), 101);
    assert_eq!(found[100].message, "and 4900 more findings");
    assert!(found.iter().all(|it| it.location.as_ref().is_none_or(|at| at.text.chars().count() <= 120)));
}
