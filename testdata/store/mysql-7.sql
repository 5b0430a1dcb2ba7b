CREATE TABLE `accounts` (
  `name` varchar(255) NOT NULL CHECK (`name` <> ''),
  `title` text NOT NULL,
  `hash` text NOT NULL,
  `user_id` text NOT NULL,
  `role` text NOT NULL,
  `rights` text NOT NULL,
  `disabled` bigint(20) NOT NULL,
  `made` varchar(32) NOT NULL,
  `made_by` text NOT NULL,
  `signed_in` varchar(32) DEFAULT NULL,
  `provider` varchar(64) DEFAULT NULL,
  `subject` varchar(255) DEFAULT NULL,
  `language` text NOT NULL,
  `preferences` mediumtext NOT NULL,
  PRIMARY KEY (`name`),
  UNIQUE KEY `provider` (`provider`,`subject`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin ROW_FORMAT=DYNAMIC;
INSERT INTO `accounts` VALUES ('alice','Alice Martin','','alice','user','',0,'2026-11-26T01:00:00.000000Z','cli',NULL,NULL,NULL,'','{}');
CREATE TABLE `api_tokens` (
  `name` varchar(255) NOT NULL CHECK (`name` <> ''),
  `hash` varchar(64) NOT NULL,
  `scope` text NOT NULL,
  `user_id` text NOT NULL,
  `made` varchar(32) NOT NULL,
  `made_by` text NOT NULL,
  `expires` varchar(32) DEFAULT NULL,
  `used` varchar(32) DEFAULT NULL,
  PRIMARY KEY (`name`),
  UNIQUE KEY `hash` (`hash`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin ROW_FORMAT=DYNAMIC;
CREATE TABLE `audit` (
  `id` bigint(20) NOT NULL AUTO_INCREMENT,
  `at` varchar(32) NOT NULL,
  `done_by` text NOT NULL,
  `did` text NOT NULL,
  `what` text NOT NULL,
  PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin ROW_FORMAT=DYNAMIC;
CREATE TABLE `goose_db_version` (
  `id` bigint(20) unsigned NOT NULL AUTO_INCREMENT,
  `version_id` bigint(20) NOT NULL,
  `is_applied` tinyint(1) NOT NULL,
  `tstamp` datetime DEFAULT current_timestamp(),
  PRIMARY KEY (`id`)
) ENGINE=InnoDB AUTO_INCREMENT=9 DEFAULT CHARSET=latin1 COLLATE=latin1_swedish_ci;
INSERT INTO `goose_db_version` VALUES (1,0,1,'2026-11-25 12:00:00');
INSERT INTO `goose_db_version` VALUES (2,1,1,'2026-11-25 12:00:00');
INSERT INTO `goose_db_version` VALUES (3,2,1,'2026-11-25 12:00:00');
INSERT INTO `goose_db_version` VALUES (4,3,1,'2026-11-25 12:00:00');
INSERT INTO `goose_db_version` VALUES (5,4,1,'2026-11-25 12:00:00');
INSERT INTO `goose_db_version` VALUES (6,5,1,'2026-11-25 12:00:00');
INSERT INTO `goose_db_version` VALUES (7,6,1,'2026-11-26 12:00:00');
INSERT INTO `goose_db_version` VALUES (8,7,1,'2026-11-26 09:15:12');
CREATE TABLE `history` (
  `id` bigint(20) NOT NULL AUTO_INCREMENT,
  `user_id` varchar(255) NOT NULL CHECK (`user_id` <> ''),
  `version` bigint(20) NOT NULL,
  `at` varchar(32) NOT NULL,
  `ordinal` int(11) NOT NULL,
  `type` text NOT NULL,
  `name` text NOT NULL,
  `base` text NOT NULL,
  `message` text NOT NULL,
  `since` varchar(32) DEFAULT NULL,
  `until` varchar(32) DEFAULT NULL,
  `set_by` text NOT NULL,
  `rule` text NOT NULL,
  `label` text NOT NULL DEFAULT '',
  PRIMARY KEY (`id`),
  UNIQUE KEY `history_entry` (`user_id`,`version`,`at`,`ordinal`),
  KEY `history_at` (`at`,`id`),
  KEY `history_user_at` (`user_id`,`at`,`id`)
) ENGINE=InnoDB AUTO_INCREMENT=3 DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin ROW_FORMAT=DYNAMIC;
INSERT INTO `history` VALUES (1,'alice',16,'2026-11-22T11:59:59.000000Z',0,'','','','',NULL,NULL,'reload','nothing','');
INSERT INTO `history` VALUES (2,'alice',17,'2026-11-22T12:00:00.123456Z',0,'lunch','Lunch','absent','it\'s\ntwo 🍣','2026-11-22T12:00:00.123456Z','2026-11-22T13:00:00.123456Z','extension main/1001','latest','');
CREATE TABLE `invitations` (
  `hash` varchar(64) NOT NULL CHECK (`hash` <> ''),
  `name` text NOT NULL,
  `user_id` text NOT NULL,
  `role` text NOT NULL,
  `rights` text NOT NULL,
  `again` bigint(20) NOT NULL,
  `made` varchar(32) NOT NULL,
  `made_by` text NOT NULL,
  `expires` varchar(32) NOT NULL,
  PRIMARY KEY (`hash`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin ROW_FORMAT=DYNAMIC;
CREATE TABLE `lease` (
  `id` int(11) NOT NULL CHECK (`id` = 1),
  `token` bigint(20) NOT NULL,
  `beat` bigint(20) NOT NULL,
  `holder` varchar(255) NOT NULL,
  PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
INSERT INTO `lease` VALUES (1,2,3,'');
CREATE TABLE `mapped_users` (
  `user_id` varchar(255) NOT NULL CHECK (`user_id` <> ''),
  `position` bigint(20) NOT NULL,
  `definition` mediumtext NOT NULL,
  `tags` text NOT NULL,
  `group_names` text NOT NULL,
  PRIMARY KEY (`user_id`),
  UNIQUE KEY `position` (`position`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin ROW_FORMAT=DYNAMIC;
INSERT INTO `mapped_users` VALUES ('alice',1,'{\"id\":\"alice\",\"extensions\":[\"1001\"],\"tags\":[\"vip\"]}','vip','');
CREATE TABLE `meta` (
  `name` varchar(64) NOT NULL,
  `value` text NOT NULL,
  PRIMARY KEY (`name`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin ROW_FORMAT=DYNAMIC;
INSERT INTO `meta` VALUES ('clean','true');
CREATE TABLE `own_settings` (
  `user_id` varchar(255) NOT NULL CHECK (`user_id` <> ''),
  `pbx` varchar(255) DEFAULT NULL,
  `extension` varchar(255) DEFAULT NULL,
  `sync` smallint(6) DEFAULT NULL CHECK (`sync` in (0,1)),
  PRIMARY KEY (`user_id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin ROW_FORMAT=DYNAMIC;
CREATE TABLE `panel_rows` (
  `row_key` varchar(255) NOT NULL CHECK (`row_key` <> ''),
  `memory` text NOT NULL,
  PRIMARY KEY (`row_key`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin ROW_FORMAT=DYNAMIC;
CREATE TABLE `pbxs` (
  `name` varchar(255) NOT NULL CHECK (`name` <> ''),
  `incarnation` text NOT NULL,
  `heard` varchar(32) DEFAULT NULL,
  PRIMARY KEY (`name`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin ROW_FORMAT=DYNAMIC;
INSERT INTO `pbxs` VALUES ('branch','',NULL);
INSERT INTO `pbxs` VALUES ('main','1763800000/18','2026-11-22T12:00:00.123456Z');
CREATE TABLE `sessions` (
  `hash` varchar(64) NOT NULL CHECK (`hash` <> ''),
  `account` text NOT NULL,
  `data` text NOT NULL,
  `expires` varchar(32) NOT NULL,
  PRIMARY KEY (`hash`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin ROW_FORMAT=DYNAMIC;
CREATE TABLE `users` (
  `id` varchar(255) NOT NULL CHECK (`id` <> ''),
  `name` text NOT NULL,
  `email` text NOT NULL,
  `version` bigint(20) NOT NULL,
  `type` text DEFAULT NULL,
  `type_name` text DEFAULT NULL,
  `base` text DEFAULT NULL,
  `color` text DEFAULT NULL,
  `message` text DEFAULT NULL,
  `since` varchar(32) DEFAULT NULL,
  `until` varchar(32) DEFAULT NULL,
  `set_by` text DEFAULT NULL,
  `removed` smallint(6) DEFAULT NULL,
  `stale` smallint(6) DEFAULT NULL,
  `view` longtext NOT NULL,
  `label` text DEFAULT NULL,
  PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin ROW_FORMAT=DYNAMIC;
INSERT INTO `users` VALUES ('alice','Alice Martin','alice@example.com',17,'lunch','Lunch','absent','#ef6c00','it\'s\ntwo 🍣','2026-11-22T12:00:00.123456Z','2026-11-22T13:00:00.123456Z','extension main/1001',0,0,'{\"user\":\"alice\",\"version\":17}',NULL);
INSERT INTO `users` VALUES ('bob','Bob Lee','',1,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'{\"user\":\"bob\",\"version\":1}',NULL);
