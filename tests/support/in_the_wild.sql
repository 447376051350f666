-- Rows as the orchestrator writes them after a migration of its own and a day of use: Python's spelling of lists
-- and times, a plain key in its history, services of another machine, a node that reports every few seconds.
INSERT INTO services (id, name, type, enabled, executable, base_url, api_type, api_key_encrypted, default_model,
    max_context_tokens, capabilities, models, preferred_models, fallback_models, use_free_only, max_retries,
    retry_delay, site_url, site_name, auto_start, auto_detect_model, created_at, updated_at, node_id)
VALUES
('gemini', 'gemini', 'cli', 1, 'gemini', NULL, NULL, NULL, NULL, 2000000,
    '["codebase_analysis", "architecture_design"]', '[]', '[]', '[]', NULL, NULL, NULL, NULL, NULL, NULL, NULL,
    1767894523.101, 1767894523.101, NULL),
('openrouter', 'Open Router', 'http', 1, NULL, 'https://openrouter.ai/api/v1', 'openai_compatible',
    token('sk-in-the-wild'), 'meta-llama/llama-3.2-3b-instruct:free', NULL, '["general_purpose"]', '[]',
    '["meta-llama/llama-3.2-3b-instruct:free"]', '["caf\u00e9"]', 1, 3, 2, 'https://example.com/oxide',
    'Oxide 🚀', NULL, NULL, 1767894523.102, 1767980000.5, NULL),
('ollama_local', 'ollama_local', 'http', 0, NULL, 'http://localhost:11434', 'ollama', NULL, NULL, NULL,
    NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, 1, 1767894523.103, 1767894523.103, NULL),
('node-7-ollama', 'remote', 'http', 1, NULL, 'http://192.0.2.7:11434', 'ollama', NULL, NULL, NULL,
    '[]', '["qwen"]', '[]', '[]', NULL, NULL, NULL, NULL, NULL, NULL, NULL, 1767894000.0, 1767980001.0, 'node-7');
INSERT INTO routing_rules VALUES
('code_review', 'gemini', '["openrouter"]', NULL, 60, 1767894523.2, 1767894523.2),
('quick_query', 'openrouter', '[]', 5, NULL, 1767894523.3, 1767894523.3);
UPDATE execution_settings SET max_parallel_workers = 4;
INSERT INTO discovered_nodes VALUES ('node-7', 'worker', '192.0.2.7', 8000, '{"ollama": {"models": ["qwen"]}}',
    12.5, 40.25, 1, 77, 1, 1, 1767894000.0, 1767980001.0, '0.9.1', '["cluster"]');
INSERT INTO config_history (config_snapshot, change_description, created_at) VALUES
('{"services": {"openrouter": {"type": "http", "api_key": "sk-in-the-wild"}}, "routing_rules": {}}', 'Manual save',
    1767894600.75);
