UPDATE services SET max_context_tokens = NULL;
