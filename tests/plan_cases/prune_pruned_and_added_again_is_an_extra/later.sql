INSERT INTO services (id, type, base_url, created_at, updated_at) VALUES ('ollama', 'http', 'http://new', 1, 1);
