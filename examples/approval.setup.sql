-- What approval.df writes to.
CREATE TABLE IF NOT EXISTS expenses (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    what text NOT NULL,
    amount numeric NOT NULL,
    state text NOT NULL DEFAULT 'waiting',
    decided_by text
);
