-- What nightly.df reads and writes.
CREATE TABLE IF NOT EXISTS events (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    what text NOT NULL,
    happened_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE IF NOT EXISTS nightly_clean_up (wanted boolean NOT NULL);
INSERT INTO nightly_clean_up SELECT true WHERE NOT EXISTS (SELECT FROM nightly_clean_up);
