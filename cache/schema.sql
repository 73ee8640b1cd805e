-- Version 1 of the tuning cache. Later versions are steps of their own, applied in order.
-- What identifies a row is a digest over its key, so that a lookup is one comparison.

CREATE TABLE device (
	id INTEGER PRIMARY KEY,
	hardware TEXT NOT NULL,  -- processor, system-enabled instructions, caches, cores; no host name, no clock
	arch TEXT NOT NULL,      -- devices of one arch try each other's schedules
	isa TEXT NOT NULL,
	facts TEXT NOT NULL,     -- JSON: what it is, and once measured what it does at most
	UNIQUE (hardware, isa)
) STRICT;

CREATE TABLE env (
	id INTEGER PRIMARY KEY,
	digest TEXT NOT NULL UNIQUE, -- over all of the below and the device
	device INTEGER NOT NULL REFERENCES device,
	codegen TEXT NOT NULL,       -- digest of the sources that lower a cascade
	toolchain TEXT NOT NULL,     -- compiler version and resolved flags
	threads INTEGER NOT NULL CHECK (threads > 0),
	policy TEXT NOT NULL         -- how times were taken
) STRICT;

CREATE TABLE problem (
	id INTEGER PRIMARY KEY,
	digest TEXT NOT NULL UNIQUE,
	workload TEXT NOT NULL,  -- digest of the canonical cascade without extents
	name TEXT NOT NULL,
	contract TEXT NOT NULL,  -- arguments in order: name, type, role
	shape TEXT NOT NULL      -- "B=1 H=8 N=2048"
) STRICT;
CREATE INDEX problem_workload ON problem (workload);

CREATE TABLE config (
	id INTEGER PRIMARY KEY,
	digest TEXT NOT NULL UNIQUE,
	schedule TEXT NOT NULL
) STRICT;

CREATE TABLE session (
	id INTEGER PRIMARY KEY,
	uuid TEXT NOT NULL UNIQUE,
	env INTEGER NOT NULL REFERENCES env,
	problem INTEGER NOT NULL REFERENCES problem,
	seed TEXT NOT NULL,
	strategy TEXT NOT NULL,
	budget REAL NOT NULL,
	state TEXT NOT NULL CHECK (state IN ('running', 'complete', 'stopped')),
	evaluations INTEGER NOT NULL DEFAULT 0,
	begun INTEGER NOT NULL,
	heartbeat INTEGER NOT NULL
) STRICT;

CREATE TABLE trial (
	id INTEGER PRIMARY KEY,
	env INTEGER NOT NULL REFERENCES env,
	problem INTEGER NOT NULL REFERENCES problem,
	source TEXT NOT NULL,    -- digest of text, launch geometry and flags
	config INTEGER NOT NULL REFERENCES config,
	session INTEGER REFERENCES session,
	status TEXT NOT NULL CHECK (status IN ('ok', 'compile_error', 'timeout', 'crash', 'wrong', 'pruned')),
	reason TEXT,
	rung INTEGER NOT NULL,
	verified INTEGER NOT NULL CHECK (verified IN (0, 1) AND (verified = 0 OR status = 'ok')),
	runs INTEGER NOT NULL,
	seconds REAL,
	least REAL,
	quartile REAL,
	median REAL,
	deviation REAL,
	switches INTEGER NOT NULL,
	ratio REAL,              -- of the control's time to this one's, with its interval
	ratio_low REAL,
	ratio_high REAL,
	error REAL,              -- largest normalised
	at INTEGER NOT NULL,
	UNIQUE (env, problem, source)
) STRICT;

CREATE TABLE winner (
	env INTEGER NOT NULL REFERENCES env,
	problem INTEGER NOT NULL REFERENCES problem,
	config INTEGER NOT NULL REFERENCES config,
	source TEXT NOT NULL,
	trial INTEGER NOT NULL REFERENCES trial,
	quality REAL NOT NULL,   -- the trial's ratio
	complete INTEGER NOT NULL CHECK (complete IN (0, 1)),
	generation INTEGER NOT NULL DEFAULT 1,
	at INTEGER NOT NULL,
	PRIMARY KEY (env, problem)
) STRICT, WITHOUT ROWID;

CREATE TABLE artifact (
	env INTEGER NOT NULL REFERENCES env,
	problem INTEGER NOT NULL REFERENCES problem,
	source TEXT NOT NULL,
	kind TEXT NOT NULL,      -- "object"
	codec TEXT NOT NULL,     -- "raw"
	sha256 TEXT NOT NULL,    -- of body
	body BLOB NOT NULL,      -- a record of what it is, then the bytes
	at INTEGER NOT NULL,
	PRIMARY KEY (env, problem, source)
) STRICT, WITHOUT ROWID;

CREATE TABLE quarantine (
	id INTEGER PRIMARY KEY,
	source TEXT NOT NULL,
	sha256 TEXT NOT NULL,    -- as it was claimed
	reason TEXT NOT NULL,
	body BLOB,
	at INTEGER NOT NULL
) STRICT;

-- A winner stands on a trial of the same key that was found right.
CREATE TRIGGER winner_is_verified_insert BEFORE INSERT ON winner
WHEN NOT EXISTS (SELECT 1 FROM trial t WHERE t.id = NEW.trial AND t.env = NEW.env AND t.problem = NEW.problem
	AND t.source = NEW.source AND t.config = NEW.config AND t.status = 'ok' AND t.verified = 1)
BEGIN
	SELECT RAISE(ABORT, 'a winner needs a verified trial of the same key');
END;
CREATE TRIGGER winner_is_verified_update BEFORE UPDATE ON winner
WHEN NOT EXISTS (SELECT 1 FROM trial t WHERE t.id = NEW.trial AND t.env = NEW.env AND t.problem = NEW.problem
	AND t.source = NEW.source AND t.config = NEW.config AND t.status = 'ok' AND t.verified = 1)
BEGIN
	SELECT RAISE(ABORT, 'a winner needs a verified trial of the same key');
END;
-- A trial found wrong after all takes its winner and its code along.
CREATE TRIGGER trial_is_wrong AFTER UPDATE ON trial
WHEN NEW.verified = 0
BEGIN
	DELETE FROM winner WHERE trial = NEW.id;
	DELETE FROM artifact WHERE env = NEW.env AND problem = NEW.problem AND source = NEW.source;
END;
