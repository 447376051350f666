DROP TABLE services; DROP TABLE routing_rules; DROP TABLE execution_settings; DROP TABLE discovered_nodes; DROP TABLE config_history;
