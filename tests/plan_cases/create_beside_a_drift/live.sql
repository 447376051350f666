UPDATE services SET max_context_tokens = 64000 WHERE id = 'gemini';
