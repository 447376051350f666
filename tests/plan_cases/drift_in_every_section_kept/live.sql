UPDATE services SET max_context_tokens = 64000 WHERE id = 'gemini';
UPDATE routing_rules SET timeout_seconds = 5 WHERE task_type = 'code_review';
UPDATE execution_settings SET max_parallel_workers = 16;
