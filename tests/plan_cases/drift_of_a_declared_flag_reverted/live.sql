UPDATE services SET enabled = 0 WHERE id = 'gemini';
