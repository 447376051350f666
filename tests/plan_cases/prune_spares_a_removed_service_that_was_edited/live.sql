UPDATE services SET fallback_models = '["other"]' WHERE id = 'ollama';
