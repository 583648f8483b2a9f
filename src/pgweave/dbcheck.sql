-- What `pgweave check --dsn` sends besides the steps themselves. Everything happens in one transaction that is rolled back.

-- limits --
-- Nobody is kept waiting by a check, and a check waits for nobody: short limits, for this transaction only.
select pg_catalog.set_config('lock_timeout', '2s', true), pg_catalog.set_config('statement_timeout', '30s', true)

-- make_replay --
-- Runs the text of a DDL step, or of a set-up file. Inside of it COMMIT and ROLLBACK are refused, so the end stays ours.
create function pg_temp.pgweave_replay(p_text text) returns void
language plpgsql
as $$
begin
    execute p_text;
end $$

-- replay --
-- Run one of them.
select pg_temp.pgweave_replay(%s)

-- where_we_are --
-- Is the df schema here? Steps that call it cannot be judged where it is not.
select pg_catalog.to_regnamespace('df') is not null, pg_catalog.current_database()

-- type_names --
-- How types are written; those that no table can have are text.
select t.oid::pg_catalog.int8,
       case when t.typtype operator(pg_catalog.=) 'p' then 'pg_catalog.text'
            else pg_catalog.format('%%I.%%I', n.nspname, t.typname) end
from pg_catalog.pg_type as t join pg_catalog.pg_namespace as n on n.oid operator(pg_catalog.=) t.typnamespace
where t.oid operator(pg_catalog.=) any (%s::pg_catalog.oid[])
