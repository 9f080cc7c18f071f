DROP TABLE "counter";
--> statement-breakpoint
DROP TABLE "stored";
--> statement-breakpoint
DROP TABLE "text";
--> statement-breakpoint
DROP TABLE "code";
