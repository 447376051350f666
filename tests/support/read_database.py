from cryptography.fernet import Fernet

given = json.load(sys.stdin)
fernet = Fernet(given["key"].encode())
conn = sqlite3.connect(given["db"])
conn.execute("PRAGMA journal_mode=WAL")
conn.row_factory = sqlite3.Row

LISTS = ["capabilities", "models", "preferred_models", "fallback_models"]
FLAGS = ["use_free_only", "auto_start", "auto_detect_model"]
PLAIN = ["type", "executable", "base_url", "api_type", "default_model", "max_context_tokens", "max_retries",
         "retry_delay", "site_url", "site_name"]


def service(row):
    read = {name: row[name] for name in PLAIN}
    read["enabled"] = bool(row["enabled"])
    for name in LISTS:
        read[name] = json.loads(row[name]) if row[name] else []
    for name in ("capabilities", "models"):
        read[name].sort()
    for name in FLAGS:
        read[name] = bool(row[name]) if row[name] is not None else None
    token = row["api_key_encrypted"]
    read["api_key"] = fernet.decrypt(token.encode()).decode() if token else None
    assert row["name"] == row["id"] and row["node_id"] is None
    assert isinstance(row["created_at"], float) and isinstance(row["updated_at"], float)
    return read


def rule(row):
    return {
        "primary": row["primary_service"],
        "fallback": json.loads(row["fallback_services"]) if row["fallback_services"] else [],
        "parallel_threshold_files": row["parallel_threshold_files"],
        "timeout_seconds": row["timeout_seconds"],
    }


services = conn.execute("SELECT * FROM services WHERE 1=1 AND node_id IS NULL ORDER BY created_at ASC").fetchall()
rules = conn.execute("SELECT * FROM routing_rules ORDER BY task_type ASC").fetchall()
execution = conn.execute("SELECT * FROM execution_settings WHERE id = 1").fetchone()
config = {
    "order": [row["id"] for row in services],
    "services": {row["id"]: service(row) for row in services},
    "routing_rules": {row["task_type"]: rule(row) for row in rules},
    "execution": {
        "max_parallel_workers": execution["max_parallel_workers"],
        "timeout_seconds": execution["timeout_seconds"],
        "streaming": bool(execution["streaming"]),
        "retry_on_failure": bool(execution["retry_on_failure"]),
        "max_retries": execution["max_retries"],
    },
}
counts = [conn.execute("SELECT COUNT(*) FROM " + table).fetchone()[0] for table in ("services", "routing_rules")]
integrity = conn.execute("PRAGMA integrity_check").fetchone()[0]
print(json.dumps({"config": config, "has_config": counts[0] > 0 or counts[1] > 0, "integrity": integrity}))
