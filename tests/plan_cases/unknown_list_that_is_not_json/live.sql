UPDATE services SET capabilities = 'code_review,debugging' WHERE id = 'gemini';
