//! Configurations of any size, deterministic, and the same rows as SQL for the floor. Every key is fake.

use std::fmt::Write as _;

const CAPABILITIES: [&str; 7] = [
    "code_generation",
    "code_review",
    "quick_query",
    "documentation",
    "general_purpose",
    "debugging",
    "refactoring",
];

/// What stands after the services and rules of every input.
const TAIL: &str = "execution:\n  max_parallel_workers: 4\n  timeout_seconds: 120\n  streaming: true\n  retry_on_failure: true\n  max_retries: 5\nlogging:\n  level: INFO\nsecurity:\n  allowed_directories:\n  - /workspace\n";

/// Returns N services with a key of 73 characters each, and N/2 rules. The sample of the guide for 6.
pub(crate) fn yaml(services: usize) -> String {
    if services == 6 {
        return include_str!("../../config/default.yaml").to_owned();
    }
    let mut text = String::from("services:\n");
    for number in 0..services {
        let _ = write!(
            text,
            "  svc_{number:06}:\n    type: http\n    enabled: true\n    base_url: http://host-{number:06}.example.test:11434/v1\n    api_type: {}\n    api_key: {}\n    default_model: vendor/model-{}-instruct:free\n    models:\n    - vendor/model-{}-instruct:free\n    - vendor/model-{}-large\n    capabilities:\n    - {}\n    - {}\n    max_retries: {}\n    retry_delay: {}\n",
            if number % 3 > 0 { "openai_compatible" } else { "ollama" },
            key(number),
            number % 97,
            number % 97,
            number % 89,
            CAPABILITIES[number % 7],
            CAPABILITIES[(number + 3) % 7],
            number % 5,
            1 + number % 3,
        );
    }
    text.push_str("routing_rules:\n");
    for number in 0..services / 2 {
        let _ = write!(
            text,
            "  task_{number:06}:\n    primary: svc_{:06}\n    fallback:\n    - svc_{:06}\n    - svc_{:06}\n    timeout_seconds: {}\n",
            2 * number,
            (2 * number + 1) % services,
            (2 * number + 3) % services,
            30 + number % 90,
        );
    }
    text + TAIL
}

fn key(number: usize) -> String {
    let digits = format!("{:016x}", (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    format!("fake-key-{}", digits.repeat(4))
}

/// Returns the rows of `yaml(services)` as SQL in one transaction; keys as tokens of their real length.
pub(crate) fn sql(services: usize) -> String {
    let mut text = String::from(
        "PRAGMA journal_mode=WAL;\nPRAGMA synchronous=FULL;\nBEGIN;\nCREATE TABLE services(id TEXT PRIMARY KEY, name TEXT, type TEXT NOT NULL, enabled BOOLEAN DEFAULT 1, executable TEXT, base_url TEXT, api_type TEXT, api_key_encrypted TEXT, default_model TEXT, max_context_tokens INTEGER, capabilities TEXT, models TEXT, preferred_models TEXT, fallback_models TEXT, use_free_only BOOLEAN, max_retries INTEGER, retry_delay INTEGER, site_url TEXT, site_name TEXT, auto_start BOOLEAN, auto_detect_model BOOLEAN, created_at REAL NOT NULL, updated_at REAL NOT NULL, node_id TEXT);\nCREATE TABLE routing_rules(task_type TEXT PRIMARY KEY, primary_service TEXT NOT NULL, fallback_services TEXT, parallel_threshold_files INTEGER, timeout_seconds INTEGER, created_at REAL NOT NULL, updated_at REAL NOT NULL, FOREIGN KEY(primary_service) REFERENCES services(id));\nCREATE INDEX idx_services_enabled ON services(enabled);CREATE INDEX idx_services_type ON services(type);CREATE INDEX idx_services_node ON services(node_id);CREATE INDEX idx_routing_primary ON routing_rules(primary_service);\n",
    );
    for number in 0..services {
        let token = format!("gAAAAA{:0>178}", key(number));
        let _ = writeln!(
            text,
            "INSERT INTO services VALUES('svc_{number:06}','svc_{number:06}','http',1,NULL,'http://host-{number:06}.example.test:11434/v1','openai_compatible','{token}','vendor/model-{}-instruct:free',NULL,'[\"{}\", \"{}\"]','[\"vendor/model-{}-instruct:free\", \"vendor/model-{}-large\"]','[]','[]',NULL,{},{},NULL,NULL,NULL,NULL,1700000000.25,1700000000.25,NULL);",
            number % 97,
            CAPABILITIES[number % 7],
            CAPABILITIES[(number + 3) % 7],
            number % 97,
            number % 89,
            number % 5,
            1 + number % 3,
        );
    }
    for number in 0..services / 2 {
        let _ = writeln!(
            text,
            "INSERT INTO routing_rules VALUES('task_{number:06}','svc_{:06}','[\"svc_{:06}\", \"svc_{:06}\"]',NULL,{},1700000000.25,1700000000.25);",
            2 * number,
            (2 * number + 1) % services,
            (2 * number + 3) % services,
            30 + number % 90,
        );
    }
    text + "COMMIT;\n"
}
