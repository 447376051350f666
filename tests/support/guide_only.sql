-- The schema of the migration guide: fewer columns, three tables, no index.
CREATE TABLE services (
    id TEXT PRIMARY KEY,
    type TEXT NOT NULL,
    enabled BOOLEAN DEFAULT 1,
    executable TEXT,
    base_url TEXT,
    api_type TEXT,
    api_key_encrypted TEXT,
    default_model TEXT,
    max_context_tokens INTEGER,
    capabilities TEXT,
    models TEXT,
    created_at REAL NOT NULL,
    updated_at REAL NOT NULL,
    node_id TEXT
);
CREATE TABLE routing_rules (
    task_type TEXT PRIMARY KEY,
    primary_service TEXT NOT NULL,
    fallback_services TEXT,
    parallel_threshold_files INTEGER,
    timeout_seconds INTEGER,
    created_at REAL NOT NULL,
    updated_at REAL NOT NULL
);
CREATE TABLE execution_settings (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    max_parallel_workers INTEGER DEFAULT 3,
    timeout_seconds INTEGER DEFAULT 120,
    streaming BOOLEAN DEFAULT 1,
    retry_on_failure BOOLEAN DEFAULT 1,
    max_retries INTEGER DEFAULT 2,
    updated_at REAL NOT NULL
);
