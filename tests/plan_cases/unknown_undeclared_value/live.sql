UPDATE services SET models = '{' WHERE id = 'gemini';
