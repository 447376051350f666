UPDATE services SET max_context_tokens = 'many' WHERE id = 'gemini';
