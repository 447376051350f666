UPDATE services SET max_context_tokens = 32000;
UPDATE services SET max_context_tokens = NULL WHERE id = 'ollama';
