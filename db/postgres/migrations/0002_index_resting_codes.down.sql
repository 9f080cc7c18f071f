DROP INDEX "code_rests_until";
