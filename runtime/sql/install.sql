-- Installs the df schema with nothing but psql, as `pgweave db install` does:  psql -v ON_ERROR_STOP=1 -f install.sql
-- The operators go to the schema named in the second line; it has to be on people's search_path.
-- Written by docs/generate.py.

begin;
set local pgweave.operator_schema to public;
set local search_path to pg_catalog, pg_temp;
\ir schema/10_schemas.sql
\ir schema/20_tables.sql
\ir schema/30_values.sql
\ir schema/40_builders.sql
\ir schema/45_operators.sql
\ir schema/50_start.sql
\ir schema/60_control.sql
\ir schema/70_run_statement.sql
\ir schema/71_steps.sql
\ir schema/75_worker.sql
\ir schema/80_watching.sql
\ir schema/85_explain.sql
\ir schema/90_privileges.sql
insert into df.migrations (number, name, checksum)
values (1, '0001_schema', '71210383688bee9334cf2cf66a343f06676f490af92a972e42b03ab8e943f695');
commit;
