-- Every code that no text has and that does not rest already, in key order, so that the tree is built from left to right.
INSERT OR IGNORE INTO `code` (`code`)
WITH RECURSIVE
	`ascii`(`n`) AS (VALUES (65) UNION ALL SELECT `n` + 1 FROM `ascii` WHERE `n` < 122),
	`letter`(`l`) AS MATERIALIZED (SELECT char(`n`) FROM `ascii` WHERE `n` <= 90 OR `n` >= 97)
SELECT `a`.`l` || `b`.`l` || `c`.`l` || `d`.`l` AS `drawn`
FROM `letter` AS `a` CROSS JOIN `letter` AS `b` CROSS JOIN `letter` AS `c` CROSS JOIN `letter` AS `d`
WHERE `drawn` NOT IN (SELECT `code` FROM `text`);
