DROP TABLE `text`;
--> statement-breakpoint
DROP TABLE `code`;
