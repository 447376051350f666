UPDATE services SET capabilities = '["debugging","code_review"]' WHERE id = 'gemini';
