CREATE TABLE told (rule TEXT, ticker TEXT, side TEXT, model TEXT, phase TEXT NOT NULL, edge_points REAL NOT NULL,
                   told_ts TEXT NOT NULL, row TEXT NOT NULL, PRIMARY KEY (rule, ticker, side, model)) STRICT;
CREATE TABLE items (id INTEGER PRIMARY KEY, rule TEXT NOT NULL, ticker TEXT NOT NULL, side TEXT NOT NULL,
                    model TEXT NOT NULL, kind TEXT NOT NULL, text TEXT NOT NULL, at_ts TEXT NOT NULL) STRICT;
CREATE TABLE sent (rule TEXT NOT NULL, at_ts TEXT NOT NULL) STRICT;
CREATE TABLE outbox (id INTEGER PRIMARY KEY, receiver TEXT NOT NULL, title TEXT NOT NULL, body TEXT NOT NULL,
                     created_ts TEXT NOT NULL, next_ts TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0,
                     delivered_ts TEXT) STRICT;
CREATE TABLE alarms (name TEXT PRIMARY KEY, since_ts TEXT NOT NULL, words TEXT NOT NULL) STRICT;
CREATE TABLE benched (model TEXT PRIMARY KEY, failures INTEGER NOT NULL, until_ts TEXT NOT NULL,
                      reason TEXT NOT NULL) STRICT;
CREATE TABLE followed (ticker TEXT PRIMARY KEY, since_ts TEXT NOT NULL) STRICT;
CREATE TABLE notes (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
