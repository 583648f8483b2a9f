-- psql -f this
\set ON_ERROR_STOP on
BEGIN;
CREATE TABLE IF NOT EXISTS ledger (id bigserial primary key, account text, amount numeric);
INSERT INTO ledger (account, amount) VALUES ('a', 10), ('b', 20);
SELECT df.setvar('account', 'a');
SELECT df.start(
    $$ SELECT coalesce(sum(amount), 0) AS balance FROM ledger WHERE account = '{account}' $$ |=> 'b'
    ~> $$ INSERT INTO ledger (account, amount) VALUES ('{account}', -$b.balance) $$,
    'close-account'
) AS instance_id \gset
COMMIT;
\echo started :instance_id
SELECT df.wait_for_completion(:'instance_id', 60);
SELECT df.result(:'instance_id');
