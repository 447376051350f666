UPDATE services SET max_context_tokens = 128000 WHERE id = 'gemini';
