INSERT INTO services (id, type, executable, created_at, updated_at) VALUES ('handmade', 'cli', 'x', 1, 1);
