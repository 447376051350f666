UPDATE services SET site_name = 'set by hand' WHERE id = 'gemini';
