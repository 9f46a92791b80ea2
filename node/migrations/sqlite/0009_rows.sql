-- From here on an entry is kept in `entry.envelope` packed, together with its identity parts (danso-proto, package); `entry.parts` is NULL then.
-- Rows of earlier versions stay as they are, the envelope verbatim and its parts beside it; the first bytes of a column say which it is.

-- Persons and households stand in the tree of their key: one tree less to write for each, and nobody points at their row numbers.
CREATE TABLE person_by_id (
    id        BLOB NOT NULL PRIMARY KEY,
    unit      TEXT NOT NULL,
    reference TEXT,                                   -- the collaborator's reference, when the part is here
    data      BLOB NOT NULL                           -- facts, danso-core register
) STRICT, WITHOUT ROWID;
INSERT INTO person_by_id SELECT id, unit, reference, data FROM person ORDER BY id;
DROP TABLE person;
ALTER TABLE person_by_id RENAME TO person;
CREATE INDEX person_reference ON person (unit, reference) WHERE reference IS NOT NULL;

CREATE TABLE household_by_id (
    id     BLOB NOT NULL,
    unit   TEXT NOT NULL,
    number TEXT,
    data   BLOB NOT NULL,
    PRIMARY KEY (id, unit)
) STRICT, WITHOUT ROWID;
INSERT INTO household_by_id SELECT id, unit, number, data FROM household ORDER BY id, unit;
DROP TABLE household;
ALTER TABLE household_by_id RENAME TO household;
CREATE INDEX household_number ON household (unit, number) WHERE number IS NOT NULL;
