ALTER TABLE `text` ADD `writer` integer;
