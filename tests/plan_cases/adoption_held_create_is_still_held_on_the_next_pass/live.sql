INSERT INTO services (id, name, type, enabled, executable, max_context_tokens, capabilities, models, preferred_models, fallback_models, created_at, updated_at)
VALUES ('gemini', 'gemini', 'cli', 1, 'gemini', 32000, '["debugging", "code_review"]', '[]', '[]', '[]', 1767894523.1, 1767894523.1);
INSERT INTO services (id, name, type, enabled, base_url, api_type, capabilities, models, preferred_models, fallback_models, created_at, updated_at)
VALUES ('ollama', 'ollama', 'http', 1, 'http://localhost:11434', 'ollama', '[]', '[]', '[]', '["small", "large"]', 1767894523.2, 1767894523.2);
INSERT INTO routing_rules VALUES ('code_review', 'gemini', '["ollama"]', NULL, 60, 1767894523.3, 1767894523.3);
UPDATE execution_settings SET max_parallel_workers = 4;
