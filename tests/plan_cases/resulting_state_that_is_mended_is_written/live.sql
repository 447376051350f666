UPDATE services SET enabled = 0;
