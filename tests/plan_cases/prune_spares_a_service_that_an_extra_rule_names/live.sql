INSERT INTO routing_rules VALUES ('handmade', 'ollama', '[]', NULL, NULL, 1, 1);
