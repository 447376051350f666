INSERT INTO routing_rules VALUES ('handmade', 'nobody', '[]', NULL, NULL, 1, 1);
