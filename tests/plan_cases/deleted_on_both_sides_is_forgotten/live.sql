DELETE FROM services WHERE id = 'ollama';
