DELETE FROM routing_rules;
