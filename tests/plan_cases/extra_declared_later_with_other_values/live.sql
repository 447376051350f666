INSERT INTO services (id, type, executable, created_at, updated_at) VALUES ('qwen', 'cli', 'handmade', 1, 1);
