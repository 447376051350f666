UPDATE execution_settings SET max_retries = 9;
