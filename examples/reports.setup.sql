-- What reports.df reads and writes.
CREATE TABLE IF NOT EXISTS receipts (customer text NOT NULL, region text NOT NULL, amount numeric NOT NULL);
TRUNCATE receipts;
INSERT INTO receipts (customer, region, amount) VALUES
    ('Ann', 'north', 120.00), ('Bob', 'north', 80.50), ('Ann', 'south', 40.00), ('Cid', 'south', 99.99);
CREATE TABLE IF NOT EXISTS daily_reports (
    written_at timestamptz NOT NULL DEFAULT now(),
    sales integer NOT NULL,
    average numeric NOT NULL,
    best_customer text NOT NULL,
    regions text NOT NULL
);
