INSERT INTO discovered_nodes (node_id, hostname, ip_address, port, services, first_seen, last_seen) VALUES ('node-1', 'other', '192.0.2.7', 8000, '{}', 1, 2);
INSERT INTO services (id, name, type, enabled, executable, created_at, updated_at, node_id) VALUES ('node-1-gemini', 'remote', 'cli', 1, 'remote', 1, 1, 'node-1');
