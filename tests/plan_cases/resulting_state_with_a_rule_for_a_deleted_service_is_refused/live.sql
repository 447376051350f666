DELETE FROM services WHERE id = 'qwen';
