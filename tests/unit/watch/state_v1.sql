-- Rows as version 1 of state.sqlite stored them.
INSERT INTO told VALUES ('r', 'A', 'yes', 'elo', 'told', 5.0, '2026-11-23T12:00:00.000000+00:00', '{}');
INSERT INTO told VALUES ('r', 'B', 'yes', 'elo', 'back', 5.0, '2026-11-23T12:00:00.000000+00:00', '{}');
INSERT INTO alarms VALUES ('blind', '2026-11-23T12:00:00.000000+00:00', 'no complete scan');
INSERT INTO benched VALUES ('elo', 2, '2026-11-23T12:00:00.000000+00:00', 'no payload');
INSERT INTO notes VALUES ('settlements_sought', 'x');
