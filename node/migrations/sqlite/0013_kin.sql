-- Whose births name whom as the mother: her children are judged together (danso-core, rules). Made with the next start, when all that is derived is
-- made again by the rules of this version.
CREATE TABLE kin (
    mother BLOB NOT NULL,
    child  BLOB NOT NULL,
    PRIMARY KEY (mother, child)
) STRICT, WITHOUT ROWID;
-- Newborns without a name, and the day from which on that is doubtful. Whether the day has come is asked when it is looked at.
CREATE TABLE unnamed (
    person BLOB    NOT NULL PRIMARY KEY,
    change BLOB    NOT NULL,
    unit   TEXT    NOT NULL,
    due    INTEGER NOT NULL                           -- days from 1970-01-01
) STRICT, WITHOUT ROWID;
CREATE INDEX unnamed_due ON unnamed (due);
