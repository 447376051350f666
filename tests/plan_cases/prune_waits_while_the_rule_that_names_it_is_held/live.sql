UPDATE routing_rules SET fallback_services = '["ollama", "gemini"]';
