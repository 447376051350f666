-- The orchestrator's schema as a database in the wild has it: every table, index and the execution row.
CREATE TABLE services (
    id TEXT PRIMARY KEY,
    name TEXT,
    type TEXT NOT NULL,
    enabled BOOLEAN DEFAULT 1,

    executable TEXT,

    base_url TEXT,
    api_type TEXT,
    api_key_encrypted TEXT,
    default_model TEXT,

    max_context_tokens INTEGER,
    capabilities TEXT,  -- JSON array
    models TEXT,  -- JSON array

    preferred_models TEXT,
    fallback_models TEXT,
    use_free_only BOOLEAN,
    max_retries INTEGER,
    retry_delay INTEGER,
    site_url TEXT,
    site_name TEXT,
    auto_start BOOLEAN,
    auto_detect_model BOOLEAN,

    created_at REAL NOT NULL,
    updated_at REAL NOT NULL,

    node_id TEXT,
    FOREIGN KEY (node_id) REFERENCES discovered_nodes(node_id) ON DELETE CASCADE
);
CREATE TABLE routing_rules (
    task_type TEXT PRIMARY KEY,
    primary_service TEXT NOT NULL,
    fallback_services TEXT,  -- JSON array
    parallel_threshold_files INTEGER,
    timeout_seconds INTEGER,

    created_at REAL NOT NULL,
    updated_at REAL NOT NULL,

    FOREIGN KEY (primary_service) REFERENCES services(id)
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
CREATE TABLE discovered_nodes (
    node_id TEXT PRIMARY KEY,
    hostname TEXT NOT NULL,
    ip_address TEXT NOT NULL,
    port INTEGER NOT NULL,
    services TEXT NOT NULL,
    cpu_percent REAL,
    memory_percent REAL,
    active_tasks INTEGER DEFAULT 0,
    total_tasks INTEGER DEFAULT 0,
    healthy BOOLEAN DEFAULT 1,
    enabled BOOLEAN DEFAULT 1,

    first_seen REAL NOT NULL,
    last_seen REAL NOT NULL,
    oxide_version TEXT,
    features TEXT,

    UNIQUE(ip_address, port)
);
CREATE TABLE config_history (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    config_snapshot TEXT NOT NULL,
    change_description TEXT,
    created_at REAL NOT NULL
);
CREATE INDEX idx_services_enabled ON services(enabled);
CREATE INDEX idx_services_type ON services(type);
CREATE INDEX idx_services_node ON services(node_id);
CREATE INDEX idx_routing_primary ON routing_rules(primary_service);
CREATE INDEX idx_nodes_healthy ON discovered_nodes(healthy);
CREATE INDEX idx_nodes_enabled ON discovered_nodes(enabled);
CREATE INDEX idx_nodes_last_seen ON discovered_nodes(last_seen DESC);
CREATE INDEX idx_history_created ON config_history(created_at DESC);
INSERT INTO execution_settings (id, updated_at) VALUES (1, 1767894523.25);
