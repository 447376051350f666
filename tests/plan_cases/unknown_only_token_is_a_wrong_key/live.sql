UPDATE services SET api_key_encrypted = 'gAAAAABrBQmWjOopkHYaMXGVzJiVXIOlRz0hqzJiQXf1ul1wBa3JCZITTZT8b1CipsbOLLwirtx8wWibFf2jATWm1_povnyuqA==' WHERE id = 'ollama';
