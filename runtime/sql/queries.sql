-- Every statement we send, each with a name and a purpose. Python names them: `QUERIES["claim"]`.

-- our_path --
-- Make our statements independent of the settings of a role.
-- They see PostgreSQL's own operators, functions and types, whatever a role has in front of them, and their rows, numbers,
-- arrays and texts mean the same.
select pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true), pg_catalog.set_config('row_security', 'on', true),
       pg_catalog.set_config('standard_conforming_strings', 'on', true), pg_catalog.set_config('array_nulls', 'on', true),
       pg_catalog.set_config('extra_float_digits', '1', true), pg_catalog.set_config('transform_null_equals', 'off', true);

-- operator_schema --
-- Where the operators are created.
select set_config('pgweave.operator_schema', %s, true);

-- schema_state --
-- Are the schemas df and df_internal there, are they ours, does df belong to an extension?
select to_regclass('df.migrations') is not null,
       (select array_agg(nspname::text order by nspname) from pg_namespace where nspname in ('df', 'df_internal')),
       exists (select from pg_depend as d join pg_namespace as n on n.oid = d.objid and n.nspname = 'df'
               where d.classid = 'pg_namespace'::regclass and d.deptype = 'e');

-- schema_versions --
-- The versions that have been installed here, oldest first.
select number, checksum, works_with from df.migrations order by number;

-- lock_migrations --
-- One installer at a time; a second one then finds the version installed.
-- With a timeout: everything else that needs the table waits behind a waiting lock.
set local lock_timeout = '10s';
lock table df.migrations in access exclusive mode;

-- schema_exists --
-- One row if there is a schema of this name.
select from pg_namespace where nspname = %s;

-- record_migration --
-- The version that this transaction has installed.
insert into df.migrations (number, name, checksum, works_with) values (%s, %s, %s, %s);

-- drop_schema --
-- Both schemas, and the operators with the functions they call.
drop schema if exists df, df_internal cascade;

-- who_am_i --
-- The role of a worker's own session, and the database it works in.
select session_user::text, current_database()::text;

-- backend_pid --
-- The process that serves this session.
select pg_catalog.pg_backend_pid();

-- set_mark --
-- Leave something in the session.
select pg_catalog.set_config('pgweave.mark', %s, false);

-- mark --
-- What was left in the session, if it is the same one.
select pg_catalog.current_setting('pgweave.mark', true);

-- check_clients --
-- Can the server notice that a client is gone while its statement runs? An error where it cannot.
select pg_catalog.set_config('client_connection_check_interval', '1s', false);

-- listen --
-- The hint that work has arrived; a lost one only delays.
listen pgweave;

-- ring --
-- Notify every listener, our own too.
notify pgweave;

-- claim --
-- Lease instances that want a worker.
-- With synchronous_commit = off, here and below, the commit does not wait for the disk: leases, waits and parking follow
-- from rows that are on disk already, and the commits that matter (a step, a request, an end) wait, and flush the earlier
-- ones with them. A crash of the server loses the last of these commits, never one in the middle. (Idle start: 8 ms -> 1.3.)
select instance_id, token, role_name, database, attempts from set_config('synchronous_commit', 'off', true), df_internal.worker_claim(%s, %s, %s, %s::text[], %s);

-- beat --
-- Say that this worker is alive.
select df_internal.worker_heartbeat(%s, %s, %s, %s, %s)
from set_config('synchronous_commit', 'off', true);

-- show_life --
-- A lock that this session has for as long as it lives, so that other workers see at once when it is gone.
select pg_catalog.pg_advisory_lock(%s);

-- keeps --
-- End the leases of a worker but for those that it knows of.
select df_internal.worker_keeps(%s, %s);

-- end_vanished --
-- End the leases of workers that are gone; whether there are other workers.
select df_internal.worker_end_vanished(%s)
from set_config('synchronous_commit', 'off', true);

-- silent --
-- Which of these server processes run no statement.
-- A transaction, of one statement too, has a virtual id and its lock; pg_stat_activity hides from other roles what a
-- process is doing, pg_locks does not.
select p.pid from unnest(%s::integer[]) as p (pid)
where not exists (select from pg_locks as l where l.pid = p.pid and l.locktype = 'virtualxid');

-- gone --
-- Say that this worker has stopped.
select df_internal.worker_stopped(%s);

-- prune --
-- Remove instances that have outlived their retention, so many at a time.
select df.prune();

-- enrol --
-- Let a role start workflows, with HTTP steps or without.
select df.grant_usage(%s, %s);

-- enrol_worker --
-- Let a role work off the workflows of others.
select df.grant_worker(%s);

-- install_rights --
-- Whether this role may create schemas in this database, and operators in this schema.
select has_database_privilege(current_database(), 'create'),
       coalesce((select has_schema_privilege(n.oid, 'create') from pg_namespace as n where n.nspname = %s), false);

-- workers --
-- Which workers there are, those heard of last first.
select name, started_at, seen_at, concurrency, version, leases from df.workers order by seen_at desc;

-- worker_rights --
-- Whether this role sees the workers, and whether it may be one.
select has_table_privilege('df.workers', 'select'), has_function_privilege(p.oid, 'execute')
from pg_proc as p where p.pronamespace = 'df_internal'::regnamespace and p.proname = 'worker_claim';

-- renew --
-- Extend leases; returns the tokens that are still valid.
select df_internal.worker_renew(%s::text[], %s::uuid[], %s::jsonb, %s)
from set_config('synchronous_commit', 'off', true);

-- load --
-- The graph of a leased instance.
select df_internal.worker_load(%s, %s)::text
from set_config('synchronous_commit', 'off', true);

-- settle --
-- End the waits that have come to something and say all that is known.
select df_internal.worker_settle(%s, %s, %s)::text
from set_config('synchronous_commit', 'off', true);

-- wait --
-- Begin waits.
select df_internal.worker_wait(%s, %s, %s::jsonb)
from set_config('synchronous_commit', 'off', true);

-- record --
-- Record the result of a step whose effects are elsewhere.
select df_internal.worker_record(%s, %s, %s, %s::integer[], %s, %s, %s, %s, %s);

-- request --
-- An HTTP request is about to be made: may it be, and with which secrets.
select df_internal.worker_request(%s, %s, %s, %s::integer[], %s::text[])::text;

-- cancelled --
-- Which of our instances are to be cancelled.
select df_internal.worker_cancelled(%s::text[]);

-- obstacle --
-- What keeps a role out of a database, as far as the catalogue knows; null if nothing.
select case
    when r.oid is null then concat('role "', w.role, '" does not exist')
    when not r.rolcanlogin then concat('role "', w.role, '" is not permitted to log in')
    when d.oid is null then concat('database "', w.database, '" does not exist')
    when not d.datallowconn then concat('database "', d.datname, '" is not currently accepting connections')
    when not has_database_privilege(r.oid, d.oid, 'connect') then concat('permission denied for database "', d.datname, '"')
end
from (values (%s::text, %s::text)) as w (role, database)
left join pg_roles as r on r.rolname = w.role
left join pg_database as d on d.datname = coalesce(w.database, current_database());

-- run --
-- One node-run as recorded.
select status, result, error, finished_at, columns from df_internal.worker_run(%s, %s, %s, %s::integer[]);

-- decide --
-- Record what a race or a loop has come to.
select df_internal.worker_decide(%s, %s, %s, %s::integer[], %s, %s, %s::jsonb, %s::jsonb, %s::text[])
from set_config('synchronous_commit', 'off', true);

-- fail --
-- Record that a step failed.
select df_internal.worker_fail(%s, %s, %s, %s::integer[], %s::jsonb, %s, %s, %s);

-- park --
-- Give the lease back until something happens.
select df_internal.worker_park(%s, %s, %s, %s::jsonb, %s)
from set_config('synchronous_commit', 'off', true);

-- release --
-- Give the lease back in the middle of the work.
select df_internal.worker_release(%s, %s)
from set_config('synchronous_commit', 'off', true);

-- defer --
-- Give the lease back for a while, because the work cannot be done now.
select df_internal.worker_defer(%s, %s, %s, %s)
from set_config('synchronous_commit', 'off', true);

-- quarantine --
-- May this transaction have a suspect? One may at a time.
select df_internal.worker_quarantine();

-- begin --
-- The transaction in which a suspect is worked on.
begin;

-- rollback --
-- The suspect has been worked on.
rollback;

-- finish --
-- End an instance for ever.
select df_internal.worker_finish(%s, %s, %s, %s, %s::jsonb, %s::jsonb);

-- exec_node --
-- One SQL step, on a session of the submitter.
select result, finished_at from df_internal.exec_node(%s, %s, %s::pg_catalog.int4[], %s, %s, %s, %s, %s, %s);

-- shown --
-- What a step that was not read committed has left to do: show its node.
select df_internal.worker_shown(%s, %s, %s, %s::integer[]);

-- role_settings --
-- With which settings a session of a role begins, as far as our half of a step has to know.
select pg_catalog.current_setting('role'), pg_catalog.current_setting('default_transaction_read_only'),
       pg_catalog.current_setting('default_transaction_isolation'),
       (select s.setting::pg_catalog.int4 from pg_catalog.pg_settings as s
        where s.name operator(pg_catalog.=) 'statement_timeout');

-- set_role --
-- The role that a step begins with, where that is not the login.
select pg_catalog.set_config('role', %s, false);

-- limit_step --
-- How long the server lets one statement of a step run, in milliseconds.
select pg_catalog.set_config('statement_timeout', %s, false);

-- type_names --
-- The columns of a result as pairs of name and type, from what Describe says.
-- Types that no table can have are what encode_row makes of them: text, or JSON. Names mean the same under any search_path: those of PostgreSQL's own types that
-- are no keywords of its grammar, `text` and `uuid` say, could else be a type that somebody has made.
select pg_catalog.json_agg(pg_catalog.json_build_array(c.name, case
           when t.oid operator(pg_catalog.=) 'pg_catalog.record'::pg_catalog.regtype then 'pg_catalog.json'
           when t.typtype operator(pg_catalog.=) 'p' then 'pg_catalog.text'
           when t.oid operator(pg_catalog.>=) '16384'::pg_catalog.oid and exists (
               select from pg_catalog.pg_cast as k where k.castsource operator(pg_catalog.=) t.oid
                 and k.casttarget operator(pg_catalog.=) 'pg_catalog.json'::pg_catalog.regtype
           ) then 'pg_catalog.json'
           when t.typnamespace operator(pg_catalog.=) 'pg_catalog'::pg_catalog.regnamespace
                and pg_catalog.format_type(c.type, c.modifier) operator(pg_catalog.!~)
                    '^(bigint|bit|boolean|character|double|integer|interval|numeric|real|smallint|time|timestamp)([^a-z0-9_]|$)'
               then pg_catalog.concat('pg_catalog.', pg_catalog.format_type(c.type, c.modifier))
           else pg_catalog.format_type(c.type, c.modifier)
       end) order by c.place)::pg_catalog.text
from pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true),
     unnest(%s::pg_catalog.text[], %s::pg_catalog.oid[], %s::pg_catalog.int4[])
         with ordinality as c (name, type, modifier, place)
left join pg_catalog.pg_type as t on t.oid operator(pg_catalog.=) c.type;

-- encode_row --
-- One row of a result that came as text, encoded like every other. The braces stand for its columns.
select df_internal.encode_row(r.*) from (select {columns}) as r;

-- enter_workflow --
-- What df_internal.exec_node tells a step about where it runs, for steps that cannot run inside of it.
select pg_catalog.set_config('df.in_workflow', 'true', false), pg_catalog.set_config('df.instance_id', %s, false),
       pg_catalog.set_config('df.node_id', %s, false);

-- make_step_runner --
-- The function run_statement for databases that have no df schema; it goes with the session.
-- The braces stand for its text, which is in schema/70_run_statement.sql.
{run_statement};

-- run_step --
-- One step in a database without a df schema.
select pg_temp.run_statement(%s, %s);

-- discard --
-- Nothing of one step reaches the next.
-- This is what the manual says DISCARD ALL does, but for DISCARD PLANS. Plans hold no
-- state of a step, and planning df_internal.exec_node again for each step took half of its time (490 -> 900 steps/s).
close all; set session authorization default; reset all; deallocate all; unlisten *;
select pg_catalog.pg_advisory_unlock_all(); discard temp; discard sequences;

-- start --
-- Start a workflow from its graph, with variables that are for this start alone.
select df.start(%s, %s, %s, %s) from set_config('pgweave.variables', %s, true);

-- evaluate --
-- The graph of an expression as the database sees it; its text takes the place of the braces.
select ({});

-- setvar --
-- Set a variable for the workflows started from here on.
select df.setvar(%s, %s);

-- status --
-- Status word of an instance, or null.
select df.status(%s);

-- cancel --
-- Ask for the end of an instance.
select df.cancel(%s, %s);

-- signal --
-- Send a signal to an instance.
select df.signal(%s, %s, %s);

-- instance --
-- One instance, with how it ended.
select id, label, status, database, created_at, completed_at, result::text as result, error,
       parent_instance_id, parent_node_id
from df.instances where id = %s;

-- instances --
-- The newest instances first: those of some states (all, if none is named) whose label contains a text.
with wanted (statuses, part) as (select %s::text[], %s::text)
select id, label, df.status(id) as status, database, created_at, completed_at, result::text as result, error,
       parent_instance_id, parent_node_id
from df.instances cross join wanted
where (statuses = '{}' or df.status(id) = any (statuses)) and (part = '' or strpos(label, part) > 0)
order by created_at desc, id limit %s;

-- family --
-- An instance and everything it started, parents before children.
with recursive family (id, generation) as (
    select id, 0 from df.instances where id = %s
    union all
    select i.id, f.generation + 1 from df.instances as i join family as f on i.parent_instance_id = f.id
)
select i.id, i.label, df.status(i.id) as status, i.database, i.created_at, i.completed_at, i.result::text as result,
       i.error, i.parent_instance_id, i.parent_node_id
from family as f join df.instances as i on i.id = f.id order by f.generation, i.created_at, i.id;

-- nodes --
-- The nodes of some instances in pre-order, each with its latest run.
-- Runs of nodes with children are internal: which branch won, which turn a loop is in.
select n.instance_id, n.id, n.ordinal, n.node_type, n.query, n.result_name, n.left_node, n.right_node, n.status, n.error,
       r.status as run_status, r.iteration,
       case when n.left_node is null then r.result::text when n.status = 'completed' then n.result::text end as result,
       r.error as run_error, r.query as ran, r.attempts, r.started_at, r.finished_at,
       nullif(r.due_at, 'infinity') as due_at, r.signal_name, r.awaited_id
from df.nodes as n
left join lateral (
    select * from df.runs as s where s.instance_id = n.instance_id and s.node_id = n.id and n.left_node is null
    order by s.started_at desc, s.iteration desc limit 1
) as r on true
where n.instance_id = any (%s) order by n.instance_id, n.ordinal;

-- runs --
-- Every run of a leaf, in an instance and in everything it started. A step that runs has none yet: its node says so.
with recursive family (id) as (
    select id from df.instances where id = %s
    union all
    select i.id from df.instances as i join family as f on i.parent_instance_id = f.id
)
select * from (
    select n.instance_id, n.id as node_id, n.ordinal, n.node_type, r.iteration, r.status, r.attempts, r.started_at,
           r.finished_at, nullif(r.due_at, 'infinity') as due_at, r.signal_name, r.awaited_id
    from family as f
    join df.nodes as n on n.instance_id = f.id and n.left_node is null
    join df.runs as r on r.instance_id = n.instance_id and r.node_id = n.id
    union all
    select n.instance_id, n.id, n.ordinal, n.node_type, s.iteration, 'running',
           coalesce((n.status_details ->> 'attempts')::integer, 1), n.updated_at, null, null, null, null
    from family as f
    join df.instances as i on i.id = f.id and i.status = 'running'
    cross join lateral df_internal.node_states(i.id) as s
    join df.nodes as n on n.instance_id = f.id and n.id = s.node_id and n.left_node is null
    where s.inferred_status = 'running' and n.node_type <> 'BREAK' and not exists (
        select from df.runs as r where r.instance_id = n.instance_id and r.node_id = n.id and r.iteration = s.iteration
    )
) as run
order by started_at, instance_id, ordinal, iteration;

-- states --
-- What each node of some instances is now, by all that is known, and in which turn of the loops around it.
select w.id, s.node_id, s.iteration, s.inferred_status
from unnest(%s::text[]) as w (id) cross join lateral df_internal.node_states(w.id) as s;

-- pulse --
-- One text that changes whenever anything about some instances changes, for watching them.
select concat_ws(
    ' ',
    (select concat_ws(' ', count(*), max(i.updated_at)) from df.instances as i where i.id = any (w.ids)),
    (select count(*) from df.instances as i where i.parent_instance_id = any (w.ids)),
    (select concat_ws(' ', count(*), max(r.started_at), max(r.finished_at)) from df.runs as r where r.instance_id = any (w.ids)),
    (select max(n.updated_at) from df.nodes as n where n.instance_id = any (w.ids))
)
from (select %s::text[] as ids) as w;

-- clock --
-- The database's time.
select df.clock();
