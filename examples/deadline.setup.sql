-- What deadline.df writes to.
CREATE TABLE IF NOT EXISTS seats (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    row_letter text NOT NULL,
    state text NOT NULL
);
