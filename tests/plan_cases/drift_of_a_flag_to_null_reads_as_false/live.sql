UPDATE services SET enabled = NULL WHERE id = 'gemini';
