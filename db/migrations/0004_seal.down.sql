-- Without its seal nobody can open it: the sweep deletes it, and returns its code.
UPDATE `text` SET `expires_at` = 0 WHERE `seal` IS NOT NULL;
--> statement-breakpoint
ALTER TABLE `text` DROP COLUMN `seal`;
