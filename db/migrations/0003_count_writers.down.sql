ALTER TABLE `text` DROP COLUMN `writer`;
