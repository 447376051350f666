DELETE FROM execution_settings;
