-- Who may do what. One role that owns everything is enough; where more than one person works, this is the picture:
--
--   owner        creates the schema and owns it. No superuser, no BYPASSRLS, perhaps no login:
--                    CREATE ROLE pgweave_owner NOLOGIN; GRANT CREATE ON DATABASE app TO pgweave_owner;
--                    pgweave db install --dsn "dbname=app options='-c role=pgweave_owner'" --operator-schema ..
--   submitters   start workflows and see their own:     SELECT df.grant_usage('ann');
--   worker       leases, waits, decides; a member of no submitter:   SELECT df.grant_worker('pgweave_worker');
--                It runs the steps of ann on sessions logged in as ann, which pg_hba.conf has to admit, best over a
--                Unix socket by peer and a map for the account that the worker runs under.
--
-- Functions run with the rights of whoever calls them, and row-level security decides what they see. SECURITY DEFINER
-- is for what a caller must not be able to do otherwise; tests/runtime/test_privileges.py lists each with its reason.

create function df.grant_usage(p_role text, include_http boolean default false, with_grant boolean default false)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_to constant text := format('to %I %s', p_role, case when with_grant then 'with grant option' end);
begin
    execute 'grant usage on schema df ' || v_to;
    execute 'grant select on df.instances, df.nodes, df.edges, df.runs, df.inbox, df.settings, df.migrations ' || v_to;
    execute 'grant select, insert, update, delete on df.vars ' || v_to;
    -- Neither id nor owner nor state of an instance is a caller's to write: ids that others have could be found out.
    execute 'grant insert (label, root_node, database, variables, parent_instance_id, parent_node_id, idempotency_key)'
            ' on df.instances ' || v_to;
    execute 'grant insert (id, instance_id, ordinal, node_type, query, result_name, left_node, right_node, database)'
            ' on df.nodes ' || v_to;
    execute 'grant insert (instance_id, kind, name, payload) on df.inbox ' || v_to;
    if include_http then
        execute 'grant execute on function df.http(text, text, text, jsonb, integer),'
                ' df.http_multipart(text, text, jsonb, jsonb, integer) ' || v_to;
    end if;
    if with_grant then
        execute 'grant execute on function df.metrics(), df.grant_usage(text, boolean, boolean), df.revoke_usage(text) '
                || v_to;
    end if;
    raise notice 'pgweave: granted df usage privileges to "%"', p_role;
end $$;
comment on function df.grant_usage(text, boolean, boolean) is
    'Lets a role start workflows and see its own. include_http: with HTTP steps. with_grant: and pass all of it on.';

create function df.revoke_usage(p_role text) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_from constant text := format('from %I cascade', p_role);
    v_function regprocedure;
begin
    execute 'revoke all on df.instances, df.nodes, df.edges, df.runs, df.inbox, df.vars, df.settings, df.migrations ' || v_from;
    for v_function in
        select f from unnest(array[
            'df.http(text, text, text, jsonb, integer)', 'df.http_multipart(text, text, jsonb, jsonb, integer)',
            'df.metrics()', 'df.grant_usage(text, boolean, boolean)', 'df.revoke_usage(text)'
        ]::regprocedure[]) as f
        where has_function_privilege(f, 'execute with grant option')
    loop
        execute format('revoke all on function %s ', v_function) || v_from;
    end loop;
    execute 'revoke usage on schema df ' || v_from;
    raise notice 'pgweave: revoked df usage privileges granted by "%" from "%"', current_user, p_role;
end $$;
comment on function df.revoke_usage(text) is
    'Takes back what df.grant_usage gave, as far as the caller had given it. Instances that run go on until their next step.';

create function df.worker_functions() returns setof regprocedure
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select p.oid::regprocedure from pg_proc as p
    where p.pronamespace = 'df'::regnamespace and p.prosecdef and (p.proname like 'worker\_%' or p.proname = 'prune')
$$;
comment on function df.worker_functions() is 'What a worker calls on its own session, and nobody else.';

create function df.grant_worker(p_role text) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_function regprocedure;
begin
    execute format('grant usage on schema df to %I', p_role);
    execute format('grant select on df.migrations to %I', p_role);
    for v_function in select f from df.worker_functions() as f loop
        execute format('grant execute on function %s to %I', v_function, p_role);
    end loop;
    raise notice 'pgweave: granted the workers'' half of df to "%"', p_role;
end $$;
comment on function df.grant_worker(text) is
    'Lets a role be the worker. It needs no other privilege but to log in as the roles whose steps it runs. Repeat it after an upgrade.';

create function df.revoke_worker(p_role text) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_function regprocedure;
begin
    for v_function in select f from df.worker_functions() as f loop
        execute format('revoke execute on function %s from %I', v_function, p_role);
    end loop;
    execute format('revoke select on df.migrations from %I', p_role);
    execute format('revoke usage on schema df from %I', p_role);
    raise notice 'pgweave: revoked the workers'' half of df from "%"', p_role;
end $$;
comment on function df.revoke_worker(text) is 'Takes back what df.grant_worker gave.';

revoke execute on function
    df.grant_usage(text, boolean, boolean), df.revoke_usage(text), df.grant_worker(text), df.revoke_worker(text),
    df.metrics(), df.check_graph(), df.enqueue(), df.ring(), df.meet_the_end()
from public;
