UPDATE services SET base_url = '' WHERE id = 'gemini';
