-- Who may do what. One role that owns everything is enough; where more than one person works, this is the picture:
--
--   owner        creates both schemas and owns them. No superuser, no BYPASSRLS, perhaps no login:
--                    CREATE ROLE pgweave_owner NOLOGIN; GRANT CREATE ON DATABASE app TO pgweave_owner;
--                    pgweave db install --dsn "dbname=app options='-c role=pgweave_owner'" --operator-schema ..
--   submitters   start workflows and see their own:     SELECT df.grant_usage('ann');
--   worker       leases, waits, decides; a member of no submitter:   SELECT df.grant_worker('pgweave_worker');
--                It runs the steps of ann on sessions logged in as ann, which pg_hba.conf has to admit, best over a
--                Unix socket by peer and a map for the account that the worker runs under.


-- Row-level security. It binds the owner of the tables, too; a policy of its own lets the owner do the workers' half.
-- `to current_user` is the owner of the schemas: whoever runs this file.

alter table df.instances enable row level security, force row level security;
alter table df.nodes enable row level security, force row level security;
alter table df.runs enable row level security, force row level security;
alter table df.inbox enable row level security, force row level security;
alter table df.vars enable row level security, force row level security;
alter table df.wanted_sessions enable row level security, force row level security;
alter table df.queue enable row level security, force row level security;
alter table df.secrets enable row level security, force row level security;

create policy instances_user_isolation on df.instances
    using (submitted_by = (select df_internal.caller())) with check (submitted_by = (select df_internal.caller()));
-- Nodes are inserted in the transaction of their instance or never: users cannot write created_at.
create policy nodes_user_isolation on df.nodes
    using (submitted_by = (select df_internal.caller()))
    with check (
        submitted_by = (select df_internal.caller())
        and now() = (select i.created_at from df.instances as i where i.id = nodes.instance_id)
    );
create policy runs_user_isolation on df.runs using (submitted_by = (select df_internal.caller()));
create policy inbox_user_isolation on df.inbox
    using (exists (select from df.instances as i where i.id = inbox.instance_id))
    with check (
        sent_by = (select df_internal.caller()) and exists (select from df.instances as i where i.id = inbox.instance_id)
    );
create policy vars_user_isolation on df.vars
    using (owner = (select df_internal.caller())) with check (owner = (select df_internal.caller()));
-- Nobody reads secrets, their owner included; an update or upsert would have to, so a new value is a new row.
create policy secrets_user_isolation on df.secrets for insert with check (owner = (select df_internal.caller()));

create policy instances_owner on df.instances to current_user using (true) with check (true);
create policy nodes_owner on df.nodes to current_user using (true) with check (true);
create policy runs_owner on df.runs to current_user using (true) with check (true);
create policy inbox_owner on df.inbox to current_user using (true) with check (true);
create policy wanted_sessions_user on df.wanted_sessions for insert with check (owner = (select df_internal.caller()));
create policy wanted_sessions_owner on df.wanted_sessions to current_user using (true) with check (true);
create policy vars_owner on df.vars to current_user using (true) with check (true);
create policy queue_owner on df.queue to current_user using (true) with check (true);
create policy secrets_owner on df.secrets to current_user using (true) with check (true);


-- Granting.

create function df.grant_usage(p_role text, include_http boolean default false, with_grant boolean default false)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_to constant text := format('to %I %s', p_role, case when with_grant then 'with grant option' end);
begin
    -- df_internal: functions of df call it with the rights of their caller.
    execute 'grant usage on schema df, df_internal ' || v_to;
    execute 'grant select on df.instances, df.nodes, df.edges, df.runs, df.inbox, df.settings, df.migrations ' || v_to;
    execute 'grant select, insert, update, delete on df.vars ' || v_to;
    execute 'grant insert (name) on df.wanted_sessions ' || v_to;
    -- Not id, owner or status: a caller that could choose ids would learn which ones others have.
    execute 'grant insert (label, root_node, database, variables, given, parent_instance_id, parent_node_id, idempotency_key)'
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
    execute 'revoke insert (name) on df.wanted_sessions ' || v_from;
    for v_function in
        select f from unnest(array[
            'df.http(text, text, text, jsonb, integer)', 'df.http_multipart(text, text, jsonb, jsonb, integer)',
            'df.metrics()', 'df.grant_usage(text, boolean, boolean)', 'df.revoke_usage(text)'
        ]::regprocedure[]) as f
        where has_function_privilege(f, 'execute with grant option')
    loop
        execute format('revoke all on function %s ', v_function) || v_from;
    end loop;
    execute 'revoke usage on schema df, df_internal ' || v_from;
    raise notice 'pgweave: revoked df usage privileges granted by "%" from "%"', current_user, p_role;
end $$;
comment on function df.revoke_usage(text) is
    'Takes back what df.grant_usage gave, as far as the caller had given it. Instances that run go on until their next step.';

create function df_internal.worker_functions() returns setof regprocedure
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select p.oid::regprocedure from pg_proc as p
    where p.prosecdef and (p.pronamespace = 'df_internal'::regnamespace and p.proname like E'worker\\_%'
                         or p.pronamespace = 'df'::regnamespace and p.proname = 'prune')
$$;
comment on function df_internal.worker_functions() is 'The functions that df.grant_worker grants.';

create function df.grant_worker(p_role text) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_function regprocedure;
begin
    execute format('grant usage on schema df, df_internal to %I', p_role);
    execute format('grant select on df.migrations to %I', p_role);
    for v_function in select f from df_internal.worker_functions() as f loop
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
    for v_function in select f from df_internal.worker_functions() as f loop
        execute format('revoke execute on function %s from %I', v_function, p_role);
    end loop;
    execute format('revoke select on df.migrations from %I', p_role);
    execute format('revoke usage on schema df, df_internal from %I', p_role);
    raise notice 'pgweave: revoked the workers'' half of df from "%"', p_role;
end $$;
comment on function df.revoke_worker(text) is 'Takes back what df.grant_worker gave.';


-- Functions of df are for everybody who has USAGE on the schema, but for these.
revoke execute on function
    df.grant_usage(text, boolean, boolean), df.revoke_usage(text), df.grant_worker(text), df.revoke_worker(text),
    df.metrics(), df.prune(integer),
    -- HTTP steps are made from the worker's place in the network, so they are off until granted. may_request checks
    -- again when a step runs: nodes can be inserted by hand, and the privilege can be revoked.
    df.http(text, text, text, jsonb, integer), df.http_multipart(text, text, jsonb, jsonb, integer)
from public;

-- Secrets, too, are for everybody who has USAGE on the schema.
grant insert (name, value) on df.secrets to public;

-- In df_internal nobody but the owner may execute a function, except: worker_* those with df.grant_worker; and everybody
-- with USAGE those that are called with the caller's rights, by functions of df, column defaults, policies and exec_node.
-- A test compares the list with the calls in the sources.
revoke execute on all functions in schema df_internal from public;
grant execute on function
    df_internal.called_child(jsonb),
    df_internal.caller(),
    df_internal.check_limit(integer),
    df_internal.config_of(text),
    df_internal.connect_as_owner_of(text),
    df_internal.cron_problem(text),
    df_internal.current_turn(text, text),
    df_internal.cursor_after(timestamptz, text),
    df_internal.dblink_sessions(text),
    df_internal.durofut(text, text, text, text, text[], text, text),
    df_internal.encode_row(record),
    df_internal.ensure_durofut(text, boolean),
    df_internal.exec_node(text, text, integer[], uuid, text, integer, bigint, json, text),
    df_internal.explain_graph(text),
    df_internal.explain_instance(text),
    df_internal.explain_kind(text),
    df_internal.fnv1a(text[]),
    df_internal.full_query(jsonb),
    df_internal.graph_problem(text),
    df_internal.http_problem(text, text, integer, text[]),
    df_internal.live_graph(text),
    df_internal.loopback(text),
    df_internal.new_id(),
    df_internal.new_instance(text, text, text, text),
    df_internal.node_id(bigint, integer),
    df_internal.node_problem(json),
    df_internal.node_states(text),
    df_internal.node_text(jsonb),
    df_internal.outline(jsonb),
    df_internal.query_problem(text, text),
    df_internal.read_cursor(text),
    df_internal.refuse_in_workflow(text, text),
    df_internal.refuse_submitter(regrole),
    df_internal.require_instance(text),
    df_internal.require_same_graph(text, text, text),
    df_internal.row_query(text, text, text[]),
    df_internal.run_statement(text, bigint),
    df_internal.sections(jsonb),
    df_internal.setting(text),
    df_internal.shorten(text, integer),
    df_internal.shown_output(json, jsonb),
    df_internal.shown_status(text, text),
    df_internal.start(text, text, text, text, text),
    df_internal.start_in_new_transaction(text, text, text, text),
    df_internal.step_begin(text, text, integer[], uuid),
    df_internal.step_end(text, text, integer[], uuid, xid8, text, text, integer, timestamptz, json),
    df_internal.stored_statuses(text),
    df_internal.timeout_problem(jsonb),
    df_internal.walk(jsonb)
to public;

-- With row_security = off, the default of some roles, PostgreSQL would refuse each of these rather than show only the
-- caller's rows. The functions worker_* are called on sessions of the worker, which begin with it on.
do $$
declare
    v_function regprocedure;
begin
    for v_function in
        select p.oid::regprocedure from pg_proc as p
        where p.pronamespace in ('df'::regnamespace, 'df_internal'::regnamespace) and p.provolatile <> 'i'
          and 'search_path=pg_catalog, pg_temp' = any (p.proconfig) and p.proname not like E'worker\\_%'
    loop
        execute format('alter function %s set row_security = on', v_function);
    end loop;
end $$;
