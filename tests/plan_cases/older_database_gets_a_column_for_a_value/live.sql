ALTER TABLE services DROP COLUMN site_name;
