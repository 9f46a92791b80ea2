-- An invite that gives a node its place back, instead of making a new one.
ALTER TABLE invite ADD COLUMN node TEXT;
