INSERT INTO routing_rules VALUES ('handmade', 'gemini', '[]', NULL, NULL, 1, 1);
