UPDATE services SET capabilities = NULL WHERE id = 'gemini';
