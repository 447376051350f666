UPDATE services SET api_key_encrypted = token('sk-original') WHERE id = 'ollama';
