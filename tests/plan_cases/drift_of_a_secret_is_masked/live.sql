UPDATE services SET api_key_encrypted = token('sk-from-the-web-ui') WHERE id = 'ollama';
