UPDATE services SET fallback_models = '["large", "small"]' WHERE id = 'ollama';
