-- Whose births name whom as the mother: her children are judged together (danso-core, rules). Made with the next start, when all that is derived is
-- made again by the rules of this version.
CREATE TABLE kin (
    mother BYTEA NOT NULL,
    child  BYTEA NOT NULL,
    PRIMARY KEY (mother, child)
);
-- Newborns without a name, and the day from which on that is doubtful. Whether the day has come is asked when it is looked at.
CREATE TABLE unnamed (
    person BYTEA  NOT NULL PRIMARY KEY,
    change BYTEA  NOT NULL,
    unit   TEXT COLLATE "C" NOT NULL,
    due    BIGINT NOT NULL                           -- days from 1970-01-01
);
CREATE INDEX unnamed_due ON unnamed (due);
