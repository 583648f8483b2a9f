-- Version 1 of the df schema, frozen: tests install it and upgrade from it. Written by docs/generate.py until the first
-- release; after it version 1 never changes, and neither does this file.

begin;
set local pgweave.operator_schema to public;
set local search_path to pg_catalog, pg_temp;

-- The df schema, version 1. The files of this folder are read, and run, in the order of their numbers:
--
--   10_schemas        this file: the life of an instance, the lock order, the two schemas, the clock
--   20_tables         what is stored, and every status with its transitions
--   30_values         limits, and small functions over text and JSON
--   40_builders       what workflows are composed with; 45_operators: the same as operators
--   50_start          df.start, and what is checked when rows of an instance arrive
--   60_control        status, result, cancel, signal; variables and secrets
--   70_run_statement  one statement run to its result; 71_steps: the same, fenced and checkpointed
--   75_worker         what a worker calls: claim, wait, settle, decide, finish
--   80_watching       lists and inferred states; 85_explain: df.explain
--   90_privileges     row-level security, who may call what, df.grant_usage
--
-- The life of an instance
--
--   start        df.start writes one row of df.instances, one of df.nodes per node and, by trigger, one of df.queue, all
--                in the caller's transaction. Rolled back: it never existed. Committed: it will run.
--   claim        A worker leases the instance: worker_claim writes a token and an end time into its row of df.queue.
--                Every later write names that token, so a worker that was paused past its lease is refused (fence).
--   steps        Each SQL step is one call of exec_node on a session of the submitting role: fence, statement and a row
--                of df.runs (the checkpoint) in one transaction. What comes next is decided from df.runs alone, so a
--                crash between two steps loses nothing.
--   waits        A sleep, signal, schedule or awaited instance is a row of df.runs with status 'waiting' and a due time,
--                a signal name or an instance id. When everything in an instance waits, worker_park gives the lease
--                back; ready_at says when the next timer is due. A waiting instance costs a worker nothing.
--   wake-ups     A signal or a cancel is a row of df.inbox; the end of an awaited instance raises queue.wakes. Either
--                makes the instance due, and worker_settle turns waits that are over into finished runs.
--   end          worker_finish sets a terminal status, deletes the queue row and wakes the instances that await this
--                one, in one transaction. A terminal status never changes. df.prune removes the rows after a while.
--
-- Lock order, in every function:
--   1. the instance's own row of df.queue
--   2. its row of df.instances
--   3. its rows of df.inbox, df.runs and df.nodes. Only holders of the lease write them, and no two sessions of one
--      worker write the same row, so these need no order among themselves.
--   4. the df.instances row of an instance that it awaits: FOR SHARE, or by a foreign key FOR KEY SHARE when it
--      cancels that instance
--   5. the df.queue rows of instances that await it, by instance id
-- worker_claim, worker_renew and df.prune lock rows of many instances; they skip those that are locked.
-- A step holds its queue row FOR KEY SHARE: its lease can be renewed meanwhile (an update of other columns), and a
-- take-over (FOR UPDATE SKIP LOCKED) passes it by.
--
-- Two schemas. df holds the tables and what people call. df_internal holds what those functions and the workers call.
-- Functions run with the rights of their caller (SECURITY INVOKER), and row-level security decides what they see; so
-- people need USAGE on df_internal as well, but may execute there only what df functions call on their behalf
-- (90_privileges). SECURITY DEFINER functions are listed, each with its reason, in tests/runtime/test_privileges.py.
--
-- Three habits:
--   search_path is fixed on every function, but for the three that run or evaluate SQL of the caller; in those every
--     name is qualified.
--   jit = off on functions with larger queries: compiling takes longer than running, a hundredfold where the server was
--     built with LLVM (df.start on PostgreSQL 15 as Debian has it: 80 ms against 0.5).
--   PL/pgSQL where a function is called often: before version 18 PostgreSQL plans a SQL function at every call. A body
--     that is one RETURN expression is the exception: it is inlined.
--
-- This file runs as the owner of both schemas. Operators (45_operators) go to the first schema of the search_path.

create schema df;
comment on schema df is 'Durable SQL workflows: graphs, their runs, and the functions that build, start and watch them.';
create schema df_internal;
comment on schema df_internal is 'What the functions of schema df and the workers call. It may change with every version.';

create table df.migrations (
    number integer primary key,
    name text not null,
    checksum text not null,
    applied_at timestamptz not null default clock_timestamp(),
    works_with integer
);
comment on table df.migrations is 'Which numbered versions of the schema have been installed here.';
comment on column df.migrations.number is 'The version.';
comment on column df.migrations.name is 'Its name.';
comment on column df.migrations.checksum is 'SHA-256 of its SQL: what was run is what this version of pgweave has.';
comment on column df.migrations.applied_at is 'When it was installed.';
comment on column df.migrations.works_with is
    'The oldest version whose workers and clients may go on, and start, beside it; null: none of an older version.';

create function df.clock() returns timestamptz
language plpgsql volatile parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    -- Any role can set this parameter; it counts only where the login is a superuser.
    if coalesce(current_setting('pgweave.fake_now', true), '') <> ''
       and (select r.rolsuper from pg_roles as r where r.rolname = session_user) then
        return current_setting('pgweave.fake_now')::timestamptz;
    end if;
    return clock_timestamp();
end $$;
comment on function df.clock() is
    'The only clock: clock_timestamp(), unless the session of a superuser sets pgweave.fake_now (for tests).';

create function df_internal.caller() returns regrole
language sql stable parallel safe
-- A RETURN body is bound to its objects when it is created, so no search_path has to be set at every call.
return quote_ident(current_user)::regrole;
comment on function df_internal.caller() is 'The role whose rows the caller may see: current_user, as regrole.';

create function df_internal.new_id() returns varchar
language sql volatile parallel safe
return right(replace(gen_random_uuid()::text, '-', ''), 8);
comment on function df_internal.new_id() is 'A random id of an instance: eight lower-case hexadecimal digits.';

-- What is stored. Rows are written by df.start (instances, nodes), by workers (queue, runs, workers) and by people
-- through df.signal, df.cancel, df.setvar and df.set_secret (inbox, vars, secrets).

create table df.settings (
    name text primary key,
    value bigint not null,
    lowest bigint not null,
    highest bigint not null,
    default_value bigint not null,
    description text not null,
    constraint settings_range_chk check (value between lowest and highest)
);
comment on table df.settings is
    'Limits of this database and other settings. The owner of the schema changes them: UPDATE df.settings SET value = 50 WHERE name = ''max_label_bytes''.';
comment on column df.settings.name is 'What is set.';
comment on column df.settings.value is 'The value in force.';
comment on column df.settings.lowest is 'The smallest value that makes sense.';
comment on column df.settings.highest is 'The largest value that makes sense.';
comment on column df.settings.default_value is 'The value at installation.';
comment on column df.settings.description is 'What the value means, with its unit.';
insert into df.settings (name, lowest, highest, default_value, value, description)
select s.name, s.lowest, s.highest, s.default_value, s.default_value, s.description
from (values
    ('max_graph_bytes', 1000, 1000000000, 16000000, 'Largest graph that df.start takes, as JSON text in bytes.'),
    ('max_nodes', 1, 10000, 10000, 'Most nodes of a graph. It can be lowered.'),
    ('max_depth', 1, 256, 256, 'Most levels of a graph. It can be lowered.'),
    ('max_label_bytes', 1, 1000000, 1000, 'Longest label and longest idempotency key, in bytes.'),
    ('max_variable_bytes', 1, 100000000, 1000000, 'Most bytes that the variables of a role may have together.'),
    ('max_payload_bytes', 1, 100000000, 1000000, 'Largest payload of a signal, in bytes.'),
    ('max_signals', 1, 1000000000, 10000, 'Most signals of one instance that no wait has consumed yet.'),
    ('max_live_instances', 1, 1000000000, 10000, 'Most instances of one role that have not ended.'),
    ('list_instances_max_limit', 1, 1000000, 1000, 'Largest limit_count of df.list_instances.'),
    ('retention_days', 0, 36500, 30, 'Days after which an ended instance may be removed.'),
    ('retention_instances', 0, 1000000000, 10000, 'How many ended instances are kept at most.'),
    -- On where a superuser installs the schema: usually the only user, on a development machine.
    ('superuser_instances', 0, 1, (select r.rolsuper::integer from pg_roles as r where r.rolname = current_user),
     '1: superusers may start workflows, whose steps then run as superuser. 0: they are refused.')
) as s (name, lowest, highest, default_value, description);


create table df.instances (
    id varchar(8) primary key default df_internal.new_id()
        constraint instances_id_format_chk check (id ~ '^[0-9a-f]{8}$'),
    label text,
    root_node varchar(8) not null
        constraint instances_root_node_format_chk check (root_node ~ '^[0-9a-f]{8}$'),
    status text not null default 'pending'
        constraint instances_status_chk check (status in (
            'pending',    -- written by df.start                  -> running | completed | failed | cancelled
            'running',    -- a worker has begun                   -> completed | failed | cancelled
            'completed',  -- the root node has a result           for ever
            'failed',     -- a node failed and nothing caught it  for ever
            'cancelled'   -- df.cancel                            for ever
        )),
    submitted_by regrole not null default df_internal.caller(),
    database text,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    completed_at timestamptz,
    result json,
    error jsonb,
    variables jsonb not null default '{}',
    given jsonb not null default '{}',
    parent_instance_id varchar(8),
    parent_node_id varchar(8),
    idempotency_key text,
    format smallint not null default 1,
    constraint instances_identity_key unique (id, submitted_by)
);
comment on table df.instances is 'One row per started workflow. A terminal status, result and end never change.';
comment on column df.instances.id is 'Random; what df.start returns and every other function asks for.';
comment on column df.instances.label is 'A name for people; it need not be unique.';
comment on column df.instances.root_node is 'The node that the workflow begins with, in df.nodes.';
comment on column df.instances.status is 'pending, running, completed, failed or cancelled. The last three are for ever.';
comment on column df.instances.submitted_by is 'The role that called df.start. Steps run as this role, and only it sees the instance.';
comment on column df.instances.database is 'Where the steps run; null: in the database of the df schema.';
comment on column df.instances.created_at is 'When the transaction began that started it.';
comment on column df.instances.updated_at is 'When the row last changed.';
comment on column df.instances.completed_at is 'When the instance ended, however it ended.';
comment on column df.instances.result is 'Result of the root node, keys in select order.';
comment on column df.instances.error is 'Why it failed: message and, from the server, sqlstate, detail, hint, position.';
comment on column df.instances.variables is 'df.vars of the submitting role at the moment of the start, and what was given to this start.';
comment on column df.instances.given is 'The variables that were given to this start alone, or to that of its parent.';
comment on column df.instances.parent_instance_id is 'The instance whose step called df.start, if one did.';
comment on column df.instances.parent_node_id is 'The node of the parent whose step called df.start.';
comment on column df.instances.idempotency_key is 'Given to df.start: the same role with the same key gets this instance again.';
comment on column df.instances.format is 'Shape of the rows; a worker that does not know it leaves the instance alone.';
create index idx_instances_status on df.instances (status, created_at desc, id);
create index idx_instances_created_at on df.instances (created_at desc, id);
create index idx_instances_owner on df.instances (submitted_by, created_at desc, id);
create index idx_instances_label on df.instances (label, created_at desc, id) where label is not null;
create index idx_instances_parent on df.instances (parent_instance_id) where parent_instance_id is not null;
create index idx_instances_ended on df.instances (completed_at, id) where completed_at is not null;
create unique index idx_instances_key on df.instances (submitted_by, idempotency_key) where idempotency_key is not null;


-- Children are named by id, without foreign keys: instances_graph_chk sees the whole graph at once, and two keys per
-- node would make the removal of a large graph quadratic (10,000 nodes: 5.4 s instead of 0.07).
create table df.nodes (
    id varchar(8) not null
        constraint nodes_id_format_chk check (id ~ '^[0-9a-f]{8}$'),
    instance_id varchar(8) not null
        constraint nodes_instance_id_format_chk check (instance_id ~ '^[0-9a-f]{8}$'),
    ordinal integer,
    node_type text not null
        constraint nodes_node_type_chk check (node_type in (
            'SQL', 'THEN', 'IF', 'JOIN', 'LOOP', 'BREAK', 'RACE', 'SLEEP', 'WAIT_SCHEDULE', 'HTTP', 'HTTP_MULTIPART',
            'SIGNAL', 'AWAIT_INSTANCE'
        )),
    query text,
    result_name text
        constraint nodes_result_name_chk check (result_name ~ '^[A-Za-z_][A-Za-z0-9_]*$'),
    left_node varchar(8)
        constraint nodes_left_node_format_chk check (left_node ~ '^[0-9a-f]{8}$'),
    right_node varchar(8)
        constraint nodes_right_node_format_chk check (right_node ~ '^[0-9a-f]{8}$'),
    status text not null default 'pending'
        constraint nodes_status_chk check (status in (
            'pending',    -- not reached        -> running | completed | failed
            'running',    -- begun, or waiting  -> completed | failed | cancelled
            'completed',  -- in a loop's next turn running again, like the next two
            'failed',
            'cancelled'   -- its branch has lost a race, or its instance has ended without it
        )),
    result jsonb,
    error text,
    submitted_by regrole not null default df_internal.caller(),
    database text,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    status_details jsonb,
    constraint nodes_pkey primary key (instance_id, id),
    constraint nodes_result_status_chk check (result is null or status in ('completed', 'failed')),
    constraint nodes_structure_chk check (
        case
            when node_type in ('THEN', 'RACE')
                then left_node is not null and right_node is not null and query is null
            when node_type = 'IF' then left_node is not null and right_node is not null and query is not null
            when node_type = 'LOOP' then left_node is not null and right_node is null
            when node_type = 'JOIN' then left_node is not null and right_node is not null
            else left_node is null and right_node is null and query is not null
        end
    ),
    constraint nodes_instance_identity_fkey foreign key (instance_id, submitted_by)
        references df.instances (id, submitted_by) deferrable initially deferred
);
comment on table df.nodes is 'The graph of each instance, with the latest state of each node. The graph never changes after the start.';
comment on column df.nodes.id is 'Unique within its instance.';
comment on column df.nodes.instance_id is 'The instance whose graph it belongs to.';
comment on column df.nodes.ordinal is 'Position in pre-order, from 0: node, left, right, condition, further branches. Left out, it is filled in when the start is committed.';
comment on column df.nodes.node_type is 'What kind of node it is; df.node_types() lists them.';
comment on column df.nodes.query is 'SQL text, or the configuration as JSON, by node_type.';
comment on column df.nodes.result_name is 'Later steps read the result as $name.';
comment on column df.nodes.left_node is 'First step of a THEN, first branch, then branch of an IF, body of a LOOP.';
comment on column df.nodes.right_node is 'Second step of a THEN, second branch, else branch of an IF.';
comment on column df.nodes.status is 'pending, running, completed, failed or cancelled, as last shown. df.instance_nodes() infers more.';
comment on column df.nodes.result is 'Result of the latest run, or the message of its failure; key order is that of jsonb.';
comment on column df.nodes.error is 'Message of the failure, if the node failed.';
comment on column df.nodes.submitted_by is 'The role that started the instance.';
comment on column df.nodes.database is 'Where the step runs; the same as that of its instance.';
comment on column df.nodes.created_at is 'When the transaction began that started the instance.';
comment on column df.nodes.updated_at is 'When the state of the node last changed.';
comment on column df.nodes.status_details is 'iteration: the turns of the enclosing loops that the state speaks of.';
alter table df.instances add constraint instances_root_node_same_instance_fkey
    foreign key (id, root_node) references df.nodes (instance_id, id) deferrable initially deferred;


create view df.edges with (security_invoker) as
    select n.instance_id, n.id as parent_id, e.branch, e.child_id::varchar(8) as child_id
    from df.nodes as n
    cross join lateral (
        select 1 as branch, n.left_node::text as child_id
        union all
        select 2, n.right_node
        union all
        select 3, case when n.node_type in ('IF', 'LOOP') then n.query::json ->> 'condition_node' end
        union all
        select 3 + x.place::integer, x.child_id
        from json_array_elements_text(
            case when n.node_type = 'JOIN' and json_typeof(n.query::json -> 'extra_nodes') = 'array'
                 then n.query::json -> 'extra_nodes' else '[]' end
        ) with ordinality as x (child_id, place)
    ) as e
    where n.left_node is not null and e.child_id is not null;
comment on view df.edges is 'Parents and children: one row per child of each node that has any.';
comment on column df.edges.instance_id is 'The instance whose graph it belongs to.';
comment on column df.edges.parent_id is 'The parent.';
comment on column df.edges.branch is '1 left, 2 right, 3 condition, from 4 on further branches.';
comment on column df.edges.child_id is 'The child.';


create table df.runs (
    instance_id varchar(8) not null,
    node_id varchar(8) not null,
    iteration integer[] not null default '{}',
    status text not null
        constraint runs_status_chk check (status in (
            'waiting',    -- due_at, signal_name or awaited_id says for what -> completed | failed | cancelled
            'completed',  -- result. A wait that took a signal -> cancelled, when its branch loses a race
            'failed',     -- error
            'cancelled'   -- lost a race, or its instance was cancelled
        )),
    result json,
    columns json,
    error jsonb,
    query text,
    attempts integer not null default 1,
    started_at timestamptz not null,
    finished_at timestamptz,
    due_at timestamptz,
    signal_name text,
    awaited_id text,
    submitted_by regrole not null,
    primary key (instance_id, node_id, iteration),
    foreign key (instance_id, node_id) references df.nodes (instance_id, id)
);
comment on table df.runs is 'One row per reached leaf of a graph and loop turn. A finished row is the checkpoint: it never runs again.';
comment on column df.runs.instance_id is 'The instance.';
comment on column df.runs.node_id is 'The node that ran, or waits.';
comment on column df.runs.iteration is 'Turns of the enclosing loops, outermost first, from 1; empty outside of loops.';
comment on column df.runs.status is 'waiting, completed, failed or cancelled.';
comment on column df.runs.result is 'The result, keys in select order. Of a race: the branch that won. Of a loop: its turn and bound names.';
comment on column df.runs.columns is 'Name and type of each column that PostgreSQL gave the result, as pairs; recorded where a step of the instance reads rows.';
comment on column df.runs.error is 'Why it failed: message and, from the server, sqlstate, detail, hint, position.';
comment on column df.runs.query is 'The SQL that ran, values in place.';
comment on column df.runs.attempts is 'How often it was tried; more than once after a deadlock or a lost connection.';
comment on column df.runs.started_at is 'When it began, or began to wait.';
comment on column df.runs.finished_at is 'When it ended; null while it waits.';
comment on column df.runs.due_at is 'When a sleep ends or a wait times out.';
comment on column df.runs.signal_name is 'The signal this node waits for.';
comment on column df.runs.awaited_id is 'The instance this node waits for.';
comment on column df.runs.submitted_by is 'The role that started the instance.';
create index idx_runs_waiting on df.runs (instance_id) where status = 'waiting';
create index idx_runs_awaited on df.runs (awaited_id) where status = 'waiting' and awaited_id is not null;


create table df.queue (
    instance_id varchar(8) primary key references df.instances (id),
    submitted_by regrole not null,
    ready_at timestamptz not null default df.clock(),
    leased_until timestamptz not null default '-infinity',
    token uuid,
    worker text,
    wakes bigint not null default 0,
    attempts integer not null default 0,
    checked_nodes integer
);
comment on table df.queue is 'Live instances only: when each needs a worker, and which worker has it.';
comment on column df.queue.instance_id is 'The instance.';
comment on column df.queue.submitted_by is 'The role that started it.';
comment on column df.queue.ready_at is 'From when on the instance needs a worker; infinity while everything in it waits for an event.';
comment on column df.queue.leased_until is 'Another worker may take over from then on. That is the whole of crash recovery.';
comment on column df.queue.token is 'Changes with every lease; a write that does not know it is refused.';
comment on column df.queue.worker is 'Host, process and random part of the worker that has the lease.';
comment on column df.queue.wakes is 'Counts wake-ups, so that one which arrives while the instance is being parked is not lost.';
comment on column df.queue.attempts is 'Leases since the last progress; too many and the instance is failed as poisoned.';
comment on column df.queue.checked_nodes is 'How many nodes the graph had when it was found to be right. Workers refuse an instance with more.';
create index idx_queue_ready on df.queue (submitted_by, ready_at) where ready_at < 'infinity';
create index idx_queue_owner on df.queue (submitted_by);


create table df.workers (
    name text primary key,
    started_at timestamptz not null default df.clock(),
    seen_at timestamptz not null default df.clock(),
    concurrency integer not null,
    version text not null,
    leases integer not null default 0,
    lock_key bigint,
    vanished_at timestamptz
);
comment on table df.workers is 'Which workers there are, and when each was last heard of.';
comment on column df.workers.name is 'Host, process and a random part.';
comment on column df.workers.started_at is 'When it began to work.';
comment on column df.workers.seen_at is 'When it last said that it is alive.';
comment on column df.workers.concurrency is 'How many instances it takes at once.';
comment on column df.workers.version is 'The version of pgweave it runs.';
comment on column df.workers.leases is 'How many instances it had leased at seen_at.';
comment on column df.workers.lock_key is
    'The advisory lock that a session of this worker has for as long as it lives; null while it has none.';
comment on column df.workers.vanished_at is 'Since when no session has had that lock; null while one has.';


create table df.inbox (
    id bigint generated always as identity primary key,
    instance_id varchar(8) not null references df.instances (id),
    kind text not null check (kind in ('signal', 'cancel')),
    name text,
    payload json,
    sent_by regrole not null default df_internal.caller(),
    sent_at timestamptz not null default df.clock(),
    seen boolean not null default false,
    consumed_by varchar(8)
);
comment on table df.inbox is
    'Signals and cancel requests. Senders only insert, so that a transaction that one leaves open never blocks a worker.';
comment on column df.inbox.id is 'Order of arrival; the oldest signal of a name is taken first.';
comment on column df.inbox.instance_id is 'The instance it is sent to.';
comment on column df.inbox.kind is 'signal or cancel.';
comment on column df.inbox.name is 'Name of the signal.';
comment on column df.inbox.payload is 'What the signal carries, or the reason of the cancel.';
comment on column df.inbox.sent_by is 'The role that sent it.';
comment on column df.inbox.sent_at is 'When it was sent.';
comment on column df.inbox.seen is 'A worker has looked at it; it no longer makes the instance due by itself.';
comment on column df.inbox.consumed_by is 'The node that took the signal; null while none has, and again when the branch of that node has lost a race.';
create index idx_inbox_instance on df.inbox (instance_id);
create index idx_inbox_unseen on df.inbox (instance_id) where not seen;
create index idx_inbox_open on df.inbox (instance_id, name, id) where consumed_by is null;


create table df.vars (
    name text not null,
    value text,
    owner regrole not null default df_internal.caller(),
    primary key (owner, name)
);
comment on table df.vars is 'Variables for {name}, private to each role; df.start takes a copy.';
comment on column df.vars.name is 'Any text, but only letters, digits and underscores can be written in braces.';
comment on column df.vars.value is 'The text that takes the place of {name}.';
comment on column df.vars.owner is 'The role whose variable it is.';


create table df.secrets (
    id bigint generated always as identity primary key,
    owner regrole not null default df_internal.caller(),
    name text not null constraint secrets_name_chk check (name ~ '^[A-Za-z_][A-Za-z0-9_]*$'),
    value text constraint secrets_value_chk check (value !~ '[[:cntrl:]]' and length(value) between 1 and 8192),
    set_at timestamptz not null default df.clock()
);
comment on table df.secrets is
    'What {secret:name} stands for in headers of HTTP steps. People write it and cannot read it, their own included.';
comment on column df.secrets.id is 'The newest of a name counts.';
comment on column df.secrets.owner is 'The role whose workflows may send it.';
comment on column df.secrets.name is 'Letters, digits and underscores.';
comment on column df.secrets.value is 'Null: it has been unset. No line breaks: it becomes part of a header.';
comment on column df.secrets.set_at is 'When it was set.';
create index idx_secrets_name on df.secrets (owner, name, id);


create table df.wanted_sessions (
    name text primary key,
    owner regrole not null default df_internal.caller()
);
comment on table df.wanted_sessions is
    'While df.start(.., transaction_mode => ''new'') runs: the second session that it asks for. Empty otherwise.';
comment on column df.wanted_sessions.name is 'Of the connection of dblink.';
comment on column df.wanted_sessions.owner is 'The role that wants it. Row-level security lets nobody write another one.';

create table df.quarantine (
    one boolean primary key default true constraint quarantine_one_row_chk check (one)
);
comment on table df.quarantine is 'One row. The worker that has it locked may work on an instance that is suspected of killing workers or sessions.';
comment on column df.quarantine.one is 'True.';
insert into df.quarantine default values;

-- The limits, and small functions over text, JSON and time that the rest of the schema calls.

create function df_internal.setting(p_name text) returns bigint
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    return (select s.value from df.settings as s where s.name = p_name);
end $$;
comment on function df_internal.setting(text) is 'The value in force of one setting.';

create function df_internal.as_jsonb(p_json text) returns jsonb
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    return p_json::jsonb;
exception when untranslatable_character or numeric_value_out_of_range or program_limit_exceeded then
    -- json can spell the character NUL and the number 1e400000, and jsonb holds neither. df.runs keeps the exact result.
    return to_jsonb(p_json);
end $$;
comment on function df_internal.as_jsonb(text) is 'A result for the jsonb column of df.nodes, whatever it holds.';

create function df_internal.config_of(p_query text) returns jsonb
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    return case when jsonb_typeof(p_query::jsonb) = 'object' then p_query::jsonb else '{}' end;
exception when invalid_text_representation or untranslatable_character then
    return '{}';
end $$;
comment on function df_internal.config_of(text) is 'Configuration of a node; an empty object if its text is none.';

create function df_internal.shorten(p_text text, p_width integer) returns text
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$ select case when length(p_text) <= p_width then p_text else left(p_text, p_width - 3) || '...' end $$;
comment on function df_internal.shorten(text, integer) is 'A text cut to a number of characters; three dots say that there was more.';

create function df_internal.seconds_from_now(p_seconds double precision) returns timestamptz
language sql volatile
set search_path = pg_catalog, pg_temp
-- Beyond 1e11 seconds, some three thousand years, the interval could overflow.
as $$ select case when p_seconds > 1e11 then 'infinity' else df.clock() + make_interval(secs => p_seconds) end $$;
comment on function df_internal.seconds_from_now(double precision) is 'The time this many seconds from now; null for null.';

create function df_internal.fnv1a(p_parts text[]) returns text
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    -- The 64-bit state in two halves, so that no product leaves bigint: the prime is 2^40 + 435.
    v_high bigint := x'cbf29ce4'::bigint;
    v_low bigint := x'84222325'::bigint;
    v_bytes bytea;
    v_part text;
    v_product bigint;
begin
    foreach v_part in array p_parts loop
        v_bytes := convert_to(v_part, 'UTF8') || E'\\xff'::bytea;
        for i in 0..length(v_bytes) - 1 loop
            v_low := v_low # get_byte(v_bytes, i);
            v_product := v_low * 435;
            v_high := (v_high * 435 + (v_product >> 32) + (v_low << 8)) & 4294967295;
            v_low := v_product & 4294967295;
        end loop;
    end loop;
    return lpad(to_hex(v_high), 8, '0') || lpad(to_hex(v_low), 8, '0');
end $$;
comment on function df_internal.fnv1a(text[]) is 'FNV-1a, 64 bits, as 16 hexadecimal digits; each part is followed by one byte 0xff.';

-- The functions that people compose workflows with. Each returns a graph as JSON text ("Durofut"), byte for byte what
-- the compiler lowers the same program to: compact, keys in the order of df_internal.durofut, children carried verbatim.

create function df.node_types() returns text[]
language sql immutable parallel safe
return array['SQL', 'THEN', 'IF', 'JOIN', 'LOOP', 'BREAK', 'RACE', 'SLEEP', 'WAIT_SCHEDULE', 'HTTP', 'HTTP_MULTIPART',
             'SIGNAL', 'AWAIT_INSTANCE'];
comment on function df.node_types() is 'Every legal node_type, in the order in which messages list them.';

create function df_internal.durofut(
    p_node_type text, p_left text default null, p_right text default null, p_condition text default null,
    p_extra text[] default null, p_query text default null, p_result_name text default null
) returns text
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    return '{"node_type":' || to_json(p_node_type)::text
        || coalesce(',"left_node":' || p_left, '')
        || coalesce(',"right_node":' || p_right, '')
        || coalesce(',"condition_node":' || p_condition, '')
        || coalesce(',"extra_nodes":[' || nullif(array_to_string(p_extra, ','), '') || ']', '')
        || coalesce(',"query":' || to_json(p_query)::text, '')
        || coalesce(',"result_name":' || to_json(p_result_name)::text, '')
        || '}';
end $$;
comment on function df_internal.durofut(text, text, text, text, text[], text, text) is
    'Writes one node as compact JSON; absent parts are left out.';

create function df_internal.node_problem(p_node json) returns text
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    v_key text;
begin
    foreach v_key in array array['left_node', 'right_node'] loop
        if json_typeof(p_node -> v_key) not in ('object', 'null') then
            return 'Durofut children must be JSON objects';
        end if;
    end loop;
    if json_typeof(p_node -> 'condition_node') not in ('object', 'null') then
        return 'condition_node must be a Durofut JSON object';
    end if;
    if json_typeof(p_node -> 'extra_nodes') <> 'array' then
        return 'extra_nodes must be an array';
    end if;
    if json_typeof(p_node -> 'extra_nodes') = 'array' and exists (
        select from json_array_elements(p_node -> 'extra_nodes') as e (value) where json_typeof(value) <> 'object'
    ) then
        return 'extra_nodes entries must be Durofut JSON objects';
    end if;
    foreach v_key in array array['query', 'result_name'] loop
        if json_typeof(p_node -> v_key) not in ('string', 'null') then
            return v_key || ' must be a string';
        end if;
    end loop;
    select key into v_key from json_object_keys(p_node) as k (key)
    where key in ('node_type', 'left_node', 'right_node', 'condition_node', 'extra_nodes', 'query', 'result_name')
    group by key having count(*) > 1 limit 1;
    return 'duplicate field `' || v_key || '`';
end $$;
comment on function df_internal.node_problem(json) is 'What is wrong with the shape of one node, its children unopened; null if nothing.';

create function df_internal.ensure_durofut(p_fut text, p_strict boolean default false) returns text
language plpgsql immutable strict parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    v_json json;
    v_type text;
    v_problem text;
    -- Enough to tell what it is; patterns over a text of 100 MB would need four times its memory.
    v_start constant text := left(ltrim(p_fut, E' \t\n\r'), 60);
begin
    v_problem := case
        when p_fut in ('OK', 'pending', 'running', 'completed', 'failed', 'cancelled')
             or v_start ~ '^(Instance [0-9a-f]{8} (cancelled:|is already) |Triggered run for )'
            then 'is the answer of a df function, not a statement'
        when v_start ~ '^[0-9a-f]{8}$' then 'is the id of an instance, not a statement'
    end;
    if v_problem is not null then
        raise exception '''%'' %; it cannot be used as a workflow step', p_fut, v_problem
            using errcode = 'invalid_parameter_value',
                  hint = 'Call df.setvar() and the like before df.start(), or in a step: ''SELECT df.signal(..)''. df.await_instance(id) waits for an instance.';
    end if;
    -- Only a text that starts like an object can be a graph; everything else is SQL and need not be parsed.
    if v_start like '{%' then
        begin
            v_json := p_fut::json;
            v_type := case when json_typeof(v_json -> 'node_type') = 'string' then v_json ->> 'node_type' end;
        exception
            when invalid_text_representation or untranslatable_character then
                -- {name} is a variable, and a statement may begin with one. No statement begins with {".
                if v_start ~ E'^\\{[ \\t\\n\\r]*"' then
                    get stacked diagnostics v_problem = pg_exception_detail;
                    raise exception 'Invalid Durofut JSON: %', v_problem using errcode = 'invalid_parameter_value';
                end if;
                v_json := null;
            when statement_too_complex then
                raise exception 'Graph exceeds maximum nesting depth of 256.' using errcode = 'invalid_parameter_value';
        end;
    end if;
    if v_json is null then
        return df_internal.durofut('SQL', p_query => p_fut);
    end if;
    if v_json -> '_partial_if' is not null then
        raise exception 'A half-built if cannot be used as a workflow step'
            using errcode = 'invalid_parameter_value',
                  hint = 'Complete it with !> and the other branch; put parentheses around a branch that has operators of its own.';
    end if;
    if v_type is null then
        return df_internal.durofut('SQL', p_query => p_fut);
    end if;
    if v_type <> all (df.node_types()) then
        raise exception 'Unknown node_type ''%''. Valid types: %', v_type, array_to_string(df.node_types(), ', ')
            using errcode = 'invalid_parameter_value';
    end if;
    v_problem := df_internal.node_problem(v_json);
    if v_problem is not null then
        if p_strict then
            raise exception 'Malformed Durofut JSON with node_type ''%'': %', v_type, v_problem
                using errcode = 'invalid_parameter_value';
        end if;
        raise exception 'Invalid Durofut JSON: failed to deserialize workflow step: %', v_problem
            using errcode = 'invalid_parameter_value';
    end if;
    return p_fut;
end $$;
comment on function df_internal.ensure_durofut(text, boolean) is
    'df.ensure_durofut with a choice of wording: p_strict is the one of df.start and df.call_child.';

create function df.ensure_durofut(fut text) returns text
language plpgsql immutable strict parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    return df_internal.ensure_durofut(fut);
end $$;
comment on function df.ensure_durofut(text) is
    'A graph as it is; any other text as a SQL step. Half-built ifs, unknown node types and answers of df functions are refused.';

create function df.sql(query text) returns text
language plpgsql strict
set search_path = pg_catalog, pg_temp
as $$
begin
    return df_internal.durofut('SQL', p_query => query);
end $$;
comment on function df.sql(text) is 'A step that runs one SQL statement.';

create function df.seq(a text, b text) returns text
language plpgsql strict
set search_path = pg_catalog, pg_temp
as $$
begin
    return df_internal.durofut('THEN', df_internal.ensure_durofut(a), df_internal.ensure_durofut(b));
end $$;
comment on function df.seq(text, text) is 'First a, then b. Written a ~> b.';

create function df."as"(fut text, name text) returns text
language plpgsql strict
set search_path = pg_catalog, pg_temp
as $$
declare
    v_node json := df_internal.ensure_durofut(fut)::json;
    v_extra text[];
begin
    if name = '' then
        raise exception 'df.as: result name cannot be empty' using errcode = 'invalid_parameter_value';
    end if;
    if name !~ '^[a-zA-Z_][a-zA-Z0-9_]*$' then
        raise exception 'df.as: result name ''%'' is not a valid identifier — must match [a-zA-Z_][a-zA-Z0-9_]*', name
            using errcode = 'invalid_parameter_value';
    end if;
    if json_typeof(v_node -> 'extra_nodes') = 'array' then
        v_extra := array(select value::text from json_array_elements(v_node -> 'extra_nodes') as e (value));
    end if;
    return df_internal.durofut(
        v_node ->> 'node_type',
        nullif((v_node -> 'left_node')::text, 'null'),
        nullif((v_node -> 'right_node')::text, 'null'),
        nullif((v_node -> 'condition_node')::text, 'null'),
        v_extra,
        v_node ->> 'query',
        name
    );
end $$;
comment on function df."as"(text, text) is 'Names the result of a step, for $name in later steps. Written fut |=> name.';

create function df."join"(a text, b text) returns text
language plpgsql strict
set search_path = pg_catalog, pg_temp
as $$
begin
    return df_internal.durofut('JOIN', df_internal.ensure_durofut(a), df_internal.ensure_durofut(b));
end $$;
comment on function df."join"(text, text) is 'Runs both side by side and waits for both. Written a & b.';

create function df.join3(a text, b text, c text) returns text
language plpgsql strict
set search_path = pg_catalog, pg_temp
as $$
begin
    return df_internal.durofut(
        'JOIN', df_internal.ensure_durofut(a), df_internal.ensure_durofut(b),
        p_extra => array[df_internal.ensure_durofut(c)]
    );
end $$;
comment on function df.join3(text, text, text) is 'Runs three steps side by side and waits for all.';

create function df.race(a text, b text) returns text
language plpgsql strict
set search_path = pg_catalog, pg_temp
as $$
begin
    return df_internal.durofut('RACE', df_internal.ensure_durofut(a), df_internal.ensure_durofut(b));
end $$;
comment on function df.race(text, text) is 'Runs both side by side; the first to finish wins. Written a | b.';

create function df."if"(condition text, then_branch text, else_branch text) returns text
language plpgsql strict
set search_path = pg_catalog, pg_temp
as $$
begin
    return df_internal.durofut(
        'IF', df_internal.ensure_durofut(then_branch), df_internal.ensure_durofut(else_branch),
        df_internal.ensure_durofut(condition)
    );
end $$;
comment on function df."if"(text, text, text) is
    'Runs one of two branches by the truth of the condition''s result. Written condition ?> then !> else.';

create function df.if_rows(result_name text, then_branch text, else_branch text) returns text
language plpgsql strict
set search_path = pg_catalog, pg_temp
as $$
begin
    return df_internal.durofut(
        'IF', df_internal.ensure_durofut(then_branch), df_internal.ensure_durofut(else_branch),
        p_query => '{"condition_type":"result_has_rows","result_name":' || to_json(result_name)::text || '}'
    );
end $$;
comment on function df.if_rows(text, text, text) is 'Runs one of two branches: has the named result any rows?';

create function df.loop(body text, condition text default null, continue_on_failure boolean default false) returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if body is null then
        raise exception 'df.loop: the body cannot be NULL' using errcode = 'null_value_not_allowed';
    end if;
    if continue_on_failure is null then
        raise exception 'df.loop: continue_on_failure cannot be NULL' using errcode = 'null_value_not_allowed';
    end if;
    return df_internal.durofut('LOOP', df_internal.ensure_durofut(body), p_condition => df_internal.ensure_durofut(condition),
                               p_query => case when continue_on_failure then '{"continue_on_failure":true}' end);
end $$;
comment on function df.loop(text, text, boolean) is
    'Repeats the body: while the condition, tested after each turn, holds; for ever without one. Endless: @> body. With continue_on_failure a turn that fails in a step of SQL or a request is followed by the next, untested.';

create function df."break"(value text default null) returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    return df_internal.durofut('BREAK', p_query => '{"break_value":' || coalesce(to_json(value)::text, 'null') || '}');
end $$;
comment on function df."break"(text) is 'Leaves the nearest loop; the value becomes the result of the loop.';

create function df.sleep(seconds bigint) returns text
language plpgsql strict
set search_path = pg_catalog, pg_temp
as $$
begin
    if seconds < 0 then
        raise exception 'Sleep duration must be non-negative' using errcode = 'invalid_parameter_value';
    end if;
    return df_internal.durofut('SLEEP', p_query => seconds::text);
end $$;
comment on function df.sleep(bigint) is 'A pause of so many seconds.';

create function df_internal.cron_problem(p_cron text) returns text
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    v_fields text[] := regexp_split_to_array(btrim(p_cron, E' \t'), E'[ \\t]+');
    v_zone constant text := substring(v_fields[1] from '^CRON_TZ=(.*)$');
    v_names constant text[] := array['minute', 'hour', 'day of month', 'month', 'day of week'];
    v_low constant integer[] := array[0, 0, 1, 1, 0];
    v_high constant integer[] := array[59, 23, 31, 12, 7];
    v_words constant text[] := array['', '', '', 'jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec',
                                     'sun|mon|tue|wed|thu|fri|sat'];
    v_atom text;
    v_item text;
    v_number text;
begin
    if v_zone is not null then
        v_fields := v_fields[2:];
        -- By its full name: abbreviations and other cases, which AT TIME ZONE takes, mean nothing to those who wait.
        if not exists (select from pg_timezone_names where name = v_zone) then
            return format('there is no time zone ''%s''', v_zone);
        end if;
    end if;
    if cardinality(v_fields) <> 5 then
        return format('expected 5 fields (minute hour day-of-month month day-of-week), found %s', cardinality(v_fields));
    end if;
    for i in 1..5 loop
        v_atom := '([0-9]{1,2}' || case when v_words[i] = '' then '' else '|' || v_words[i] end || ')';
        foreach v_item in array string_to_array(lower(v_fields[i]), ',') loop
            if v_item !~ ('^([*]|' || v_atom || '(-' || v_atom || ')?)(/[1-9][0-9]?)?$') then
                return format('''%s'' is not a %s', v_item, v_names[i]);
            end if;
            for v_number in select m[1] from regexp_matches(split_part(v_item, '/', 1), '[0-9]+', 'g') as m loop
                if v_number::integer not between v_low[i] and v_high[i] then
                    return format('%s %s is outside of %s to %s', v_names[i], v_number, v_low[i], v_high[i]);
                end if;
            end loop;
        end loop;
    end loop;
    return null;
end $$;
comment on function df_internal.cron_problem(text) is
    'What is wrong with a five-field cron expression, with or without CRON_TZ=zone before it; null if nothing.';

create function df.wait_for_schedule(cron_expr text) returns text
language plpgsql strict
set search_path = pg_catalog, pg_temp
as $$
declare
    v_problem text := df_internal.cron_problem(cron_expr);
begin
    if v_problem is not null then
        raise exception 'Invalid cron expression ''%'': %', cron_expr, v_problem
            using errcode = 'invalid_parameter_value';
    end if;
    return df_internal.durofut('WAIT_SCHEDULE', p_query => '{"cron_expr":' || to_json(cron_expr)::text || '}');
end $$;
comment on function df.wait_for_schedule(text) is 'A pause until the next time that the cron expression names: five fields, in UTC unless CRON_TZ=zone stands before them.';

create function df.wait_for_signal(name text, timeout_seconds integer default null) returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if coalesce(name, '') = '' then
        raise exception 'Signal name cannot be empty' using errcode = 'invalid_parameter_value';
    end if;
    if timeout_seconds <= 0 then
        raise exception 'Timeout must be positive' using errcode = 'invalid_parameter_value';
    end if;
    return df_internal.durofut('SIGNAL', p_query => '{"signal_name":' || to_json(name)::text
        || ',"timeout_seconds":' || coalesce(timeout_seconds::text, 'null') || '}');
end $$;
comment on function df.wait_for_signal(text, integer) is
    'Waits for df.signal with this name. A timeout is a normal result, with timed_out true.';

create function df.await_instance(instance_id text, timeout_seconds integer default null) returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if coalesce(instance_id, '') = '' then
        raise exception 'Instance ID cannot be empty' using errcode = 'invalid_parameter_value';
    end if;
    if timeout_seconds <= 0 then
        raise exception 'Timeout must be positive' using errcode = 'invalid_parameter_value';
    end if;
    return df_internal.durofut('AWAIT_INSTANCE', p_query => '{"instance_id":' || to_json(instance_id)::text
        || ',"timeout_seconds":' || coalesce(timeout_seconds::text, 'null') || '}');
end $$;
comment on function df.await_instance(text, integer) is
    'Waits until another instance has ended; the result is {instance_id, status, result}. It fails unless that one completed.';

create function df.call_child(fut text, label text default null, options jsonb default null) returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_child text;
    v_problem text;
    v_key text;
    v_timeout jsonb := options -> 'timeout_seconds';
    v_database text := options ->> 'database';
    v_name text;
begin
    if fut is null then
        raise exception 'Invalid child durable function: it is NULL' using errcode = 'null_value_not_allowed';
    end if;
    begin
        v_child := df_internal.ensure_durofut(fut, true);
    exception when invalid_parameter_value then
        raise exception 'Invalid child durable function: %', sqlerrm using errcode = 'invalid_parameter_value';
    end;
    v_problem := df_internal.graph_problem(v_child);
    if v_problem is not null then
        raise exception 'Invalid child durable function graph: %', v_problem using errcode = 'invalid_parameter_value';
    end if;

    if jsonb_typeof(options) <> 'object' then
        raise exception 'df.call_child options must be a JSON object' using errcode = 'invalid_parameter_value';
    end if;
    select key into v_key from jsonb_object_keys(options) as k (key)
    where key not in ('timeout_seconds', 'database', 'on_failure', 'on_timeout', 'on_cancel') limit 1;
    if v_key is not null then
        raise exception
            'df.call_child: unsupported option ''%''. Supported options: timeout_seconds, database, on_failure, on_timeout, on_cancel',
            v_key using errcode = 'invalid_parameter_value';
    end if;
    v_problem := case
        when v_timeout is not null and (jsonb_typeof(v_timeout) <> 'number' or v_timeout::text !~ '^-?[0-9]+$')
            then 'df.call_child timeout_seconds must be an integer'
        when v_timeout::text::numeric not between 1 and 2147483647
            then 'df.call_child timeout_seconds must be between 1 and 2147483647'
        when jsonb_typeof(options -> 'database') <> 'string' then 'df.call_child database must be a string'
        when jsonb_typeof(options -> 'on_failure') <> 'string' then 'df.call_child on_failure must be a string'
        when options ->> 'on_failure' not in ('raise', 'return')
            then 'df.call_child on_failure must be ''raise'' or ''return'''
        when jsonb_typeof(options -> 'on_timeout') <> 'string' then 'df.call_child on_timeout must be a string'
        when options ->> 'on_timeout' not in ('raise', 'return')
            then 'df.call_child on_timeout must be ''raise'' or ''return'''
        when jsonb_typeof(options -> 'on_cancel') <> 'string' then 'df.call_child on_cancel must be a string'
        when options ->> 'on_cancel' not in ('leave', 'cancel')
            then 'df.call_child on_cancel must be ''leave'' or ''cancel'''
    end;
    if v_problem is not null then
        raise exception '%', v_problem using errcode = 'invalid_parameter_value';
    end if;

    v_name := '__df_call_child_' || df_internal.fnv1a(array[v_child, coalesce(label, ''), coalesce(v_database, '')]);
    -- In hex the child passes through the parent's substitution untouched: no $, no { and no quotes.
    return df_internal.durofut(
        'THEN',
        df_internal.durofut(
            'SQL',
            p_query => format(
                'SELECT df.start(convert_from(decode(''%s'', ''hex''), ''UTF8''), %s, %s) AS instance_id',
                encode(convert_to(v_child, 'UTF8'), 'hex'),
                coalesce('''' || replace(label, '''', '''''') || '''', 'NULL'),
                coalesce('''' || replace(v_database, '''', '''''') || '''', 'NULL')
            ),
            p_result_name => v_name
        ),
        df_internal.durofut('AWAIT_INSTANCE', p_query => concat(
            '{"instance_id":"$', v_name, '.instance_id","timeout_seconds":', coalesce(v_timeout::text, 'null'),
            case when options ->> 'on_failure' = 'return' then ',"on_failure":"return"' end,
            case when options ->> 'on_timeout' = 'return' then ',"on_timeout":"return"' end,
            case when options ->> 'on_cancel' = 'cancel' then ',"on_cancel":"cancel"' end,
            '}'
        ))
    );
end $$;
comment on function df.call_child(text, text, jsonb) is
    'Starts another instance and waits for its end. Options: timeout_seconds, database, on_failure (raise, return), on_timeout (raise, return), on_cancel (leave, cancel).';

create function df_internal.http_problem(p_url text, p_method text, p_timeout_seconds integer, p_methods text[]) returns text
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    return case
        -- A URL that begins with a placeholder is only known when the step runs, and checked there.
        when p_url !~ '[{$]' and lower(split_part(p_url, '://', 1)) not in ('http', 'https')
            then format('Blocked: unsupported URL scheme ''%s''. Only http and https are allowed.', split_part(p_url, '://', 1))
        when upper(p_method) <> all (p_methods)
            then format(
                case when cardinality(p_methods) = 5
                    then 'Invalid HTTP method: %s. Must be GET, POST, PUT, DELETE, or PATCH'
                    else 'Invalid HTTP method for multipart: %s. Must be POST, PUT, or PATCH' end, p_method)
        when p_timeout_seconds <= 0 then 'Timeout must be positive'
    end;
end $$;
comment on function df_internal.http_problem(text, text, integer, text[]) is
    'What is wrong with the fixed parts of an HTTP request; null if nothing.';

create function df.http(
    url text, method text default 'POST', body text default null, headers jsonb default null,
    timeout_seconds integer default 30
) returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_problem text := df_internal.http_problem(url, method, timeout_seconds, array['GET', 'POST', 'PUT', 'DELETE', 'PATCH']);
begin
    if url is null or method is null or timeout_seconds is null then
        raise exception 'df.http: url, method and timeout_seconds cannot be NULL' using errcode = 'null_value_not_allowed';
    end if;
    if v_problem is not null then
        raise exception '%', v_problem using errcode = 'invalid_parameter_value';
    end if;
    return df_internal.durofut('HTTP', p_query => '{"url":' || to_json(url)::text || ',"method":' || to_json(upper(method))::text
        || ',"body":' || coalesce(to_json(body)::text, 'null') || ',"headers":' || coalesce(headers::text, 'null')
        || ',"timeout_seconds":' || timeout_seconds::text || '}');
end $$;
comment on function df.http(text, text, text, jsonb, integer) is 'Makes an HTTP request.';

create function df.http_multipart(
    url text, method text default 'POST', parts jsonb default null, headers jsonb default null,
    timeout_seconds integer default 30
) returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_problem text := df_internal.http_problem(url, method, timeout_seconds, array['POST', 'PUT', 'PATCH']);
begin
    if url is null or method is null or timeout_seconds is null then
        raise exception 'df.http_multipart: url, method and timeout_seconds cannot be NULL'
            using errcode = 'null_value_not_allowed';
    end if;
    v_problem := coalesce(v_problem, case
        when parts is null then 'parts is required and cannot be NULL'
        when jsonb_typeof(parts) <> 'array' or jsonb_path_exists(parts, 'strict $[*] ? (@.type() <> "object")')
            then 'parts must be a JSON array of part objects'
        when parts = '[]' then 'parts must contain at least one part'
    end);
    if v_problem is not null then
        raise exception '%', v_problem using errcode = 'invalid_parameter_value';
    end if;
    return df_internal.durofut('HTTP_MULTIPART', p_query => '{"url":' || to_json(url)::text
        || ',"method":' || to_json(upper(method))::text || ',"parts":' || parts::text
        || ',"headers":' || coalesce(headers::text, 'null') || ',"timeout_seconds":' || timeout_seconds::text || '}');
end $$;
comment on function df.http_multipart(text, text, jsonb, jsonb, integer) is 'Makes a multipart HTTP request.';

-- Behind the operators (45_operators). Immutable, as people expect of an operator on constants.
create function df.as_op(fut text, name text) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    return df."as"(fut, name);
end $$;
comment on function df.as_op(text, text) is 'Behind fut |=> name.';

create function df.loop_prefix_op(body text) returns text
language plpgsql immutable strict set search_path = pg_catalog, pg_temp as $$
begin
    return df.loop(body);
end $$;
comment on function df.loop_prefix_op(text) is 'Behind @> body.';

create function df.if_then_op(condition text, then_branch text) returns text
language plpgsql immutable strict set search_path = pg_catalog, pg_temp
as $$
begin
    return '{"_partial_if":true,"condition":' || to_json(df_internal.ensure_durofut(condition))::text
        || ',"then_branch":' || to_json(df_internal.ensure_durofut(then_branch))::text || '}';
end $$;
comment on function df.if_then_op(text, text) is 'Behind condition ?> then: a half-built if, to be completed with !>.';

create function df.if_else_op(partial_if text, else_branch text) returns text
language plpgsql immutable strict
set search_path = pg_catalog, pg_temp
as $$
declare
    v_partial json;
begin
    begin
        v_partial := partial_if::json;
    exception when invalid_text_representation or untranslatable_character then
        v_partial := null;
    end;
    -- A graph with its own node_type is not a half-built if, whatever else it carries.
    if v_partial ->> '_partial_if' is distinct from 'true' then
        raise exception 'Invalid if-then-else: left side of !> must be a ?> expression'
            using errcode = 'invalid_parameter_value',
                  hint = 'Put parentheses around a branch that has operators of its own: c ?> (a ~> b) !> d.';
    end if;
    return df."if"(v_partial ->> 'condition', v_partial ->> 'then_branch', else_branch);
end $$;
comment on function df.if_else_op(text, text) is 'Behind !> else: completes a half-built if.';

-- The operators. All binary ones share one precedence and group from the left; @> takes the next operand only.
-- Created without a schema name, in the schema that the installer names. All else is made with nothing but pg_catalog
-- on the search_path: what somebody has put into other schemas must not become part of it.

select set_config('search_path', current_setting('pgweave.operator_schema'), true);

create operator ~> (leftarg = text, rightarg = text, function = df.seq);
create operator |=> (leftarg = text, rightarg = text, function = df.as_op);
create operator & (leftarg = text, rightarg = text, function = df."join");
create operator | (leftarg = text, rightarg = text, function = df.race);
create operator ?> (leftarg = text, rightarg = text, function = df.if_then_op);
create operator !> (leftarg = text, rightarg = text, function = df.if_else_op);
create operator @> (rightarg = text, function = df.loop_prefix_op);
comment on operator ~> (text, text) is 'a ~> b: first a, then b.';
comment on operator |=> (text, text) is 'step |=> name: later steps read the result as $name.';
comment on operator & (text, text) is 'a & b: both side by side; waits for both.';
comment on operator | (text, text) is 'a | b: both side by side; the first to finish wins.';
comment on operator ?> (text, text) is 'condition ?> then !> else: the first half of an if.';
comment on operator !> (text, text) is 'condition ?> then !> else: the second half of an if.';
comment on operator @> (none, text) is '@> body: an endless loop, until a df.break.';
set local search_path to pg_catalog, pg_temp;

-- Starting a workflow, and what is checked when the rows of an instance arrive. People may insert them by hand, as a
-- compiled script does, so what must hold is checked by triggers (enqueue, check_graph) and not only by df.start.

create function df_internal.refuse_submitter(p_role regrole) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_role pg_roles;
begin
    select r.* into v_role from pg_roles as r where r.oid = p_role;
    if v_role.rolcanlogin is not true then
        raise exception 'current_user "%" does not have LOGIN privilege.', coalesce(v_role.rolname, p_role::text)
            using errcode = 'insufficient_privilege', hint = 'Steps run on a session of the role that starts the workflow.';
    end if;
    if v_role.rolsuper and df_internal.setting('superuser_instances') = 0 then
        raise exception 'pgweave: superuser instances are disabled. current_user "%" is a superuser and the setting superuser_instances is 0.',
            v_role.rolname using errcode = 'insufficient_privilege',
            hint = 'Start the workflow as an ordinary role: every step would run as superuser.';
    end if;
end $$;
comment on function df_internal.refuse_submitter(regrole) is 'An error when a role may not have workflows: it cannot log in, or is a superuser where those are refused.';

create function df_internal.walk(p_graph jsonb) returns table (
    "position" integer, path text, depth integer, node jsonb, left_position integer, right_position integer,
    condition_position integer, extra_positions integer[]
)
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return query
        -- Pre-order: a path of branch numbers sorts before every longer path that it begins.
        with recursive walked (key, path, depth, node) as (
            select array[]::integer[], 'root', 0, p_graph
            union all
            select w.key || c.branch, w.path || c.step, w.depth + 1, c.child
            from walked as w
            cross join lateral (
                select 1, '.left', w.node -> 'left_node'
                union all select 2, '.right', w.node -> 'right_node'
                union all select 3, '.condition_node', w.node -> 'condition_node'
                union all
                select 3 + e.place::integer, format('.extra_nodes[%s]', e.place - 1), e.value
                from jsonb_array_elements(
                    case when jsonb_typeof(w.node -> 'extra_nodes') = 'array' then w.node -> 'extra_nodes' else '[]' end
                ) with ordinality as e (value, place)
            ) as c (branch, step, child)
            -- One level more than is allowed, so that the excess can be reported.
            where c.child is not null and c.child <> 'null' and w.depth <= 256
        ),
        numbered as (
            select *, row_number() over (order by key)::integer - 1 as place from walked
        ),
        extras as (
            select key[:cardinality(key) - 1] as parent_key, array_agg(place order by key) as places
            from numbered where key[cardinality(key)] > 3 group by 1
        )
        select n.place, n.path, n.depth, n.node, l.place, r.place, c.place, coalesce(x.places, '{}')
        from numbered as n
        left join numbered as l on l.key = n.key || 1
        left join numbered as r on r.key = n.key || 2
        left join numbered as c on c.key = n.key || 3
        left join extras as x on x.parent_key = n.key;
end $$;
comment on function df_internal.walk(jsonb) is 'The nodes of a graph in pre-order, with the positions of their children.';

create function df_internal.timeout_problem(p_config jsonb) returns text
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
    select case
        when jsonb_typeof(p_config -> 'timeout_seconds') not in ('null', 'number')
             or (jsonb_typeof(p_config -> 'timeout_seconds') = 'number' and p_config -> 'timeout_seconds' <= to_jsonb(0)) then 'timeout_seconds must be a positive number'
    end
$$;
comment on function df_internal.timeout_problem(jsonb) is 'What is wrong with the timeout of a wait; null if nothing.';

create function df_internal.query_problem(p_type text, p_query text) returns text
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    v_config jsonb;
    v_value text;
begin
    if p_query is null or p_type in ('SQL', 'THEN', 'RACE') then
        return null;
    end if;
    if p_type = 'SLEEP' then
        return case when p_query !~ '^(0|[1-9][0-9]{0,18})$'
                    then format('Invalid sleep duration: %s is not a number of whole seconds', df_internal.shorten(p_query, 40)) end;
    end if;
    begin
        v_config := p_query::jsonb;
    exception when data_exception or program_limit_exceeded or statement_too_complex then
        return format('query in %s must be valid JSON config: %s', p_type, sqlerrm);
    end;
    if jsonb_typeof(v_config) <> 'object' then
        return format('query in %s must be a JSON config object', p_type);
    end if;
    case p_type
        when 'SIGNAL' then
            return case when jsonb_typeof(v_config -> 'signal_name') is distinct from 'string' or v_config ->> 'signal_name' = ''
                        then 'signal_name must be a string that is not empty' else df_internal.timeout_problem(v_config) end;
        when 'AWAIT_INSTANCE' then
            return case when jsonb_typeof(v_config -> 'instance_id') is distinct from 'string' or v_config ->> 'instance_id' = ''
                        then 'instance_id must be a string that is not empty' else df_internal.timeout_problem(v_config) end;
        when 'WAIT_SCHEDULE' then
            return case when jsonb_typeof(v_config -> 'cron_expr') is distinct from 'string' then 'cron_expr must be a string'
                        else df_internal.cron_problem(v_config ->> 'cron_expr') end;
        when 'BREAK' then
            if jsonb_typeof(v_config -> 'break_value') not in ('string', 'null') then
                return 'break_value must be a string';
            end if;
            v_value := v_config ->> 'break_value';
            -- The value becomes the result of a loop. A text that is no JSON is a string then.
            if v_value !~ '[${]' then
                begin
                    perform v_value::json;
                    perform v_value::jsonb;
                exception
                    when numeric_value_out_of_range or program_limit_exceeded or statement_too_complex then
                        return format('the value of df.break is more than a result can hold: %s', sqlerrm);
                    when data_exception then
                        null;
                end;
            end if;
            return null;
        else
            return null;
    end case;
end $$;
comment on function df_internal.query_problem(text, text) is
    'What is wrong with the text of a node, by its kind, as far as that can be known before it runs; null if nothing.';

create function df_internal.graph_problem(p_graph text) returns text
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    v_node record;
    v_type text;
    v_config jsonb;
    v_message text;
    v_count integer := 0;
    v_max_depth constant bigint := df_internal.setting('max_depth');
    v_max_nodes constant bigint := df_internal.setting('max_nodes');
begin
    for v_node in select * from df_internal.walk(p_graph::jsonb) as w order by w."position" loop
        v_count := v_count + 1;
        v_type := v_node.node ->> 'node_type';
        v_message := case
            when v_node.depth > v_max_depth
                then format('Graph exceeds maximum nesting depth of %s. Split it with df.call_child, or nest the ~> chain less deeply.', v_max_depth)
            when v_count > v_max_nodes
                then format('Workflow exceeds maximum node count of %s. Split it with df.call_child.', v_max_nodes)
            when jsonb_typeof(v_node.node) <> 'object' or jsonb_typeof(v_node.node -> 'node_type') is distinct from 'string'
                then 'failed to deserialize Durofut child: missing field `node_type`'
            when v_type <> all (df.node_types())
                then format('Unknown node_type ''%s''. Valid types: %s', v_type, array_to_string(df.node_types(), ', '))
            when df_internal.node_problem(v_node.node::json) is not null
                then 'failed to deserialize Durofut child: ' || df_internal.node_problem(v_node.node::json)
            when v_node.node ->> 'result_name' !~ '^[A-Za-z_][A-Za-z0-9_]*$'
                then format('result_name "%s" has to match [A-Za-z_][A-Za-z0-9_]*', df_internal.shorten(v_node.node ->> 'result_name', 40))
            when v_node.condition_position is not null and v_type not in ('IF', 'LOOP')
                then format('condition_node is not valid for %s nodes', v_type)
            when v_node.extra_positions <> '{}' and v_type <> 'JOIN'
                then format('extra_nodes is not valid for %s nodes', v_type)
        end;
        if v_message is null and v_type in ('IF', 'LOOP', 'JOIN') and v_node.node ->> 'query' is not null then
            begin
                v_config := (v_node.node ->> 'query')::jsonb;
                v_message := case
                    when jsonb_typeof(v_config) <> 'object' then format('query in %s must be a JSON config object', v_type)
                    when v_type <> 'JOIN' and v_config ? 'condition_node'
                        then format('condition_node in %s must be a first-class Durofut field, not embedded in query', v_type)
                    when v_type = 'JOIN' and v_config ? 'extra_nodes'
                        then 'extra_nodes in JOIN must be a first-class Durofut field, not embedded in query'
                end;
            exception when invalid_text_representation or untranslatable_character then
                v_message := format('query in %s must be valid JSON config: %s', v_type, sqlerrm);
            end;
        end if;
        v_message := coalesce(v_message, case
            when v_type in ('THEN', 'RACE', 'JOIN', 'IF') and (v_node.left_position is null or v_node.right_position is null)
                then format('%s needs left_node and right_node', v_type)
            when v_type = 'LOOP' and (v_node.left_position is null or v_node.right_position is not null)
                then 'LOOP needs left_node, and has no right_node'
            when v_type in ('THEN', 'RACE') and v_node.node ->> 'query' is not null
                then format('query is not valid for %s nodes', v_type)
            when v_type = 'IF' and v_node.condition_position is null and v_node.node ->> 'query' is null
                then 'IF needs condition_node or query'
            when v_type not in ('THEN', 'RACE', 'JOIN', 'IF', 'LOOP')
                 and (v_node.left_position is not null or v_node.right_position is not null or v_node.node ->> 'query' is null)
                then format('%s needs query, and has no left_node and right_node', v_type)
        end, df_internal.query_problem(v_type, v_node.node ->> 'query'));
        if v_message is not null then
            return v_node.path || ': ' || v_message;
        end if;
    end loop;
    return null;
end $$;
comment on function df_internal.graph_problem(text) is 'What keeps a graph from being started, with the path of the node; null if nothing.';

create function df_internal.node_id(p_base bigint, p_position integer) returns text
language sql immutable strict parallel safe
return lpad(to_hex((p_base + p_position) & 4294967295), 8, '0');
comment on function df_internal.node_id(bigint, integer) is 'The id of the node at a position in pre-order, counted up from a base.';

create function df_internal.full_query(p_node jsonb) returns text
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    v_query constant text := p_node ->> 'query';
    v_type constant text := p_node ->> 'node_type';
    v_given jsonb;
begin
    if v_type not in ('HTTP', 'HTTP_MULTIPART') then
        return v_query;
    end if;
    v_given := df_internal.config_of(v_query);
    if jsonb_typeof(v_given -> 'url') is distinct from 'string' then
        return v_query;
    end if;
    -- A node that was written by hand may leave out what has a default; df.http writes it, and the compiler does.
    return '{"url":' || to_json(v_given ->> 'url')::text
        || ',"method":' || to_json(upper(coalesce(v_given ->> 'method', 'POST')))::text
        || case v_type when 'HTTP' then ',"body":' || coalesce(to_json(v_given ->> 'body')::text, 'null')
                       else ',"parts":' || coalesce((v_given -> 'parts')::text, 'null') end
        || ',"headers":' || coalesce((v_given -> 'headers')::text, 'null')
        || ',"timeout_seconds":' || coalesce(v_given ->> 'timeout_seconds', '30') || '}';
end $$;
comment on function df_internal.full_query(jsonb) is 'The query of a node of a graph, with the defaults of an HTTP request written out.';

create function df_internal.row_query(p_query text, p_condition text, p_extra text[]) returns text
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    -- Configurations are compact JSON, as the compiler writes them; jsonb would add spaces.
    return case
        when p_condition is null and p_extra = '{}' then p_query
        else '{' || array_to_string(
            array(select to_json(key)::text || ':' || value::text from json_each(coalesce(p_query, '{}')::json))
                || case when p_condition is not null then array['"condition_node":' || to_json(p_condition)::text]
                        else '{}' end
                || case when p_extra <> '{}' then array['"extra_nodes":' || to_json(p_extra)::text]
                        else '{}' end,
            ','
        ) || '}'
    end;
end $$;
comment on function df_internal.row_query(text, text, text[]) is
    'Text of a row''s query column: the ids of condition and further branches join the configuration.';

create function df_internal.new_instance(p_root text, p_label text, p_database text, p_key text, out id text, out fresh boolean)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_in_workflow constant boolean := coalesce(current_setting('df.in_workflow', true), '') = 'true';
    -- What a caller gives to one start is in a setting of its transaction; a child has what its parent was given.
    v_given constant jsonb := coalesce(case
        when v_in_workflow then (select i.given from df.instances as i where i.id = current_setting('df.instance_id', true))
        else nullif(current_setting('pgweave.variables', true), '')::jsonb
    end, '{}');
begin
    for attempt in 1..10 loop
        insert into df.instances (
            label, root_node, database, variables, given, parent_instance_id, parent_node_id, idempotency_key
        )
        select
            p_label, p_root, p_database,
            (select coalesce(jsonb_object_agg(v.name, v.value), '{}') from df.vars as v
             where v.owner = df_internal.caller() and v.value is not null) || v_given,
            v_given,
            -- Settings can be forged by the step's own SQL; a parent must be an instance the caller may see.
            (select i.id from df.instances as i where v_in_workflow and i.id = current_setting('df.instance_id', true)),
            (select n.id from df.nodes as n where v_in_workflow and n.instance_id = current_setting('df.instance_id', true)
             and n.id = current_setting('df.node_id', true)),
            p_key
        on conflict do nothing
        returning instances.id into new_instance.id;
        fresh := new_instance.id is not null;
        if not fresh and p_key is not null then
            -- Another start with the same key has committed, perhaps only just now.
            select i.id into new_instance.id from df.instances as i
            where i.submitted_by = df_internal.caller() and i.idempotency_key = p_key;
        end if;
        exit when new_instance.id is not null;
    end loop;
    if new_instance.id is null then
        raise exception 'Failed to create instance: exhausted 10 attempts to generate a collision-free ID';
    end if;
end $$;
comment on function df_internal.new_instance(text, text, text, text) is
    'Writes the row of a new instance, or finds the one with the same idempotency key; part of df.start.';

create function df_internal.require_same_graph(p_instance_id text, p_graph text, p_key text) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set jit = off
as $$
begin
    -- Node ids differ from start to start. In pre-order, types and numbers of children say all about the shape of a tree.
    if exists (
        select w."position", w.node ->> 'node_type', w.node ->> 'result_name',
               case when w.left_position is null then w.node ->> 'query' end,
               case when w.left_position is not null then df_internal.config_of(w.node ->> 'query') end,
               w.condition_position is not null, cardinality(w.extra_positions)
        from df_internal.walk(p_graph::jsonb) as w
        except
        select n.ordinal, n.node_type, n.result_name, case when n.left_node is null then n.query end,
               case when n.left_node is not null then df_internal.config_of(n.query) - 'condition_node' - 'extra_nodes' end,
               df_internal.config_of(n.query) ? 'condition_node' and n.left_node is not null,
               case when n.node_type = 'JOIN'
                    then coalesce(jsonb_array_length(df_internal.config_of(n.query) -> 'extra_nodes'), 0) else 0 end
        from df.nodes as n where n.instance_id = p_instance_id
    ) or (select count(*) from df_internal.walk(p_graph::jsonb))
         <> (select count(*) from df.nodes as n where n.instance_id = p_instance_id) then
        raise exception 'The idempotency key "%" belongs to instance %, which has another graph',
            df_internal.shorten(p_key, 100), p_instance_id using errcode = 'unique_violation',
            hint = 'The same key means the same workflow: give this one a key of its own.';
    end if;
end $$;
comment on function df_internal.require_same_graph(text, text, text) is
    'An error when a start has the idempotency key of an instance with another graph.';

create function df_internal.start(
    p_fut text, p_label text, p_database text, p_transaction_mode text, p_key text
) returns text
language plpgsql
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    v_graph text;
    v_problem text;
    v_known text;
    v_instance record;
    v_max_bytes constant bigint := df_internal.setting('max_graph_bytes');
    -- Node ids count up from a random start: unique within the graph without a look-up.
    v_base constant bigint := ('x' || substr(replace(gen_random_uuid()::text, '-', ''), 25, 8))::bit(32)::bigint;
begin
    if coalesce(lower(p_transaction_mode), '') not in ('caller', 'new') then
        raise exception 'invalid transaction_mode "%" for df.start(): expected ''caller'' or ''new''', p_transaction_mode
            using errcode = 'invalid_parameter_value';
    end if;
    if lower(p_transaction_mode) = 'new' then
        return df_internal.start_in_new_transaction(p_fut, p_label, p_database, p_key);
    end if;
    if p_fut is null then
        raise exception 'Invalid durable function: it is NULL' using errcode = 'null_value_not_allowed',
            hint = 'An operator or a function with a NULL argument gives NULL.';
    end if;
    if octet_length(p_fut) > v_max_bytes then
        raise exception 'Invalid durable function: Workflow exceeds maximum size of % bytes.', v_max_bytes
            using errcode = 'program_limit_exceeded', hint = 'Keep the data in a table, or split it with df.call_child.';
    end if;
    if p_key is not null then
        select i.id into v_instance from df.instances as i
        where i.submitted_by = df_internal.caller() and i.idempotency_key = p_key;
        v_known := v_instance.id;
    end if;
    begin
        v_graph := df_internal.ensure_durofut(p_fut, true);
    exception when invalid_parameter_value then
        raise exception 'Invalid durable function: %', sqlerrm using errcode = 'invalid_parameter_value';
    end;
    if v_known is not null then
        perform df_internal.require_same_graph(v_known, v_graph, p_key);
        return v_known;
    end if;
    if p_database is not null and not exists (select from pg_database as d where d.datname = p_database) then
        raise exception 'database "%" does not exist', p_database using errcode = 'invalid_catalog_name';
    end if;
    perform df_internal.refuse_submitter(df_internal.caller());
    v_problem := df_internal.graph_problem(v_graph);
    if v_problem is not null then
        raise exception 'Invalid durable function graph: %', v_problem using errcode = 'invalid_parameter_value';
    end if;

    select * into v_instance from df_internal.new_instance(df_internal.node_id(v_base, 0), p_label, p_database, p_key);
    if v_instance.fresh then
        insert into df.nodes (id, instance_id, ordinal, node_type, query, result_name, left_node, right_node, database)
        select
            df_internal.node_id(v_base, w."position"), v_instance.id, w."position", w.node ->> 'node_type',
            df_internal.row_query(
                df_internal.full_query(w.node), df_internal.node_id(v_base, w.condition_position),
                array(select df_internal.node_id(v_base, e.place)
                      from unnest(w.extra_positions) with ordinality as e (place, rank) order by e.rank)
            ),
            w.node ->> 'result_name', df_internal.node_id(v_base, w.left_position), df_internal.node_id(v_base, w.right_position),
            p_database
        from df_internal.walk(v_graph::jsonb) as w;
    else
        perform df_internal.require_same_graph(v_instance.id, v_graph, p_key);
    end if;
    return v_instance.id;
end $$;
comment on function df_internal.start(text, text, text, text, text) is 'Both forms of df.start.';

create function df.start(
    fut text, label text default null, database text default null, transaction_mode text default 'caller'
) returns text
language sql
return df_internal.start(fut, label, database, transaction_mode, null);
comment on function df.start(text, text, text, text) is
    'Starts a workflow and returns its instance id. It takes effect if and only if the calling transaction commits. '
    'transaction_mode new: in a transaction of its own, by dblink.';

-- The form with a key has defaults, too, so that df.start(.., idempotency_key => ..) can leave out what lies between.
-- Two functions whose first four parameters are the same text with the same defaults would make every call without a
-- key ambiguous. A domain over text is a worse match than text for each of them, and accepts the same arguments.
create domain df_internal.workflow as text;
comment on domain df_internal.workflow is 'A graph or SQL text, as df.start takes it: the first parameter of its form with an idempotency key.';

create function df.start(
    fut df_internal.workflow, label text default null, database text default null,
    transaction_mode text default 'caller', idempotency_key text default null
) returns text
language sql
return df_internal.start(fut, label, database, transaction_mode, idempotency_key);
comment on function df.start(df_internal.workflow, text, text, text, text) is
    'The same with an idempotency key: the same role with the same key gets the same instance again.';

create function df_internal.start_in_new_transaction(p_fut text, p_label text, p_database text, p_key text) returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_schema text;
    v_session constant text := 'pgweave_' || gen_random_uuid();
    v_instance text;
    v_hint text;
begin
    if current_setting('df.in_workflow', true) = 'true' then
        raise exception 'df.start() with transaction_mode => ''new'' cannot be called inside a workflow - leave transaction_mode out'
            using errcode = 'object_not_in_prerequisite_state';
    end if;
    perform df_internal.refuse_submitter(df_internal.caller());
    select n.nspname into v_schema from pg_extension as e join pg_namespace as n on n.oid = e.extnamespace
    where e.extname = 'dblink';
    if not found then
        raise exception 'df.start() with transaction_mode => ''new'' needs the extension dblink, which database "%" does not have',
            current_database() using errcode = 'feature_not_supported',
            hint = 'CREATE EXTENSION dblink, or leave transaction_mode out: the start then is part of your transaction.';
    end if;
    begin
        -- Of the owner of the schema or a superuser: another role's could lead anywhere.
        if exists (
            select from pg_foreign_server as f join pg_user_mappings as m on m.srvid = f.oid join pg_roles as r on r.oid = f.srvowner
            where f.srvname = 'pgweave_loopback' and m.usename = current_user and has_server_privilege(f.oid, 'usage')
              and (r.rolsuper or r.oid = (select n.nspowner from pg_namespace as n where n.nspname = 'df'))
        ) then
            execute format('select %I.dblink_connect($1, $2)', v_schema) using v_session, 'pgweave_loopback';
        elsif has_function_privilege(format('%I.dblink_connect_u(text, text)', v_schema), 'execute') then
            execute format('select %I.dblink_connect_u($1, $2)', v_schema) using v_session, df_internal.loopback(current_user);
        else
            -- Row-level security lets nobody write the name of another role as the owner of this row.
            insert into df.wanted_sessions (name) values (v_session);
            perform df_internal.connect_as_owner_of(v_session);
        end if;
        execute format('select d.id from %I.dblink($1, $2) as d (id text)', v_schema) into v_instance
        using v_session, format(
            'select df.start(%L, %L, %L, ''caller'', %L) from pg_catalog.set_config(''pgweave.variables'', %L, true)',
            p_fut, p_label, p_database, p_key, coalesce(current_setting('pgweave.variables', true), '')
        );
    exception when others then
        get stacked diagnostics v_hint = pg_exception_hint;
        if v_session = any (coalesce(df_internal.dblink_sessions(v_schema), '{}')) then
            execute format('select %I.dblink_disconnect($1)', v_schema) using v_session;
        end if;
        raise exception '%', case sqlstate
            when '55P03' then 'pgweave: transaction_mode => ''new'' launch hit lock_timeout after 30000ms while waiting on a lock in the loopback session: '
            when '57014' then 'pgweave: transaction_mode => ''new'' launch hit statement_timeout after 30000ms while running df.start() in the loopback session: '
            else 'df.start() on new transaction failed: ' end || sqlerrm using errcode = sqlstate, hint = case
            when sqlstate in ('08001', '2F003') then format(
                'pg_hba.conf has to admit %I from the server itself, or there has to be a user mapping for pgweave_loopback: see docs/operations.md.',
                current_user)
            else v_hint end;
    end;
    execute format('select %I.dblink_disconnect($1)', v_schema) using v_session;
    return v_instance;
end $$;
comment on function df_internal.start_in_new_transaction(text, text, text, text) is
    'df.start on a second session of the same role, which commits independently of the caller''s transaction.';

create function df_internal.loopback(p_role text) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_host text;
begin
    begin
        -- This role may not read unix_socket_directories; libpq's default then has to do.
        v_host := btrim(split_part(current_setting('unix_socket_directories'), ',', 1), ' "');
    exception when insufficient_privilege then
        v_host := null;
    end;
    return (
        select string_agg(c.key || '=''' || replace(replace(c.value, E'\\', E'\\\\'), '''', E'\\''') || '''', ' ')
        from (values ('dbname', current_database()::text), ('user', p_role), ('port', current_setting('port')),
                     ('host', nullif(v_host, '')), ('application_name', 'pgweave new transaction'),
                     ('options', '-c lock_timeout=30s -c statement_timeout=30s')) as c (key, value)
        where c.value is not null
    );
end $$;
comment on function df_internal.loopback(text) is 'Connection string from this server to itself, without a password.';

create function df_internal.connect_as_owner_of(p_session text) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_schema text;
    v_role text;
begin
    -- dblink_connect_u can become any role that pg_hba.conf admits, so only the owner of the schema may execute it, and
    -- here it becomes whoever wrote this row. In a table of its own: no function writes names there that others choose. A
    -- superuser needs none of this, so no mistake here can lead to one.
    delete from df.wanted_sessions as w using pg_roles as r
    where w.name = p_session and r.oid = w.owner and not r.rolsuper returning r.rolname into v_role;
    if not found then
        raise exception 'no session is wanted by that name' using errcode = 'insufficient_privilege';
    end if;
    select n.nspname into v_schema from pg_extension as e join pg_namespace as n on n.oid = e.extnamespace
    where e.extname = 'dblink';
    if not has_function_privilege(format('%I.dblink_connect_u(text, text)', v_schema), 'execute') then
        raise exception 'the server has no way to log in to itself as role "%"', v_role using errcode = 'insufficient_privilege',
            hint = 'Make a user mapping for the foreign server pgweave_loopback, as docs/operations.md shows, or leave transaction_mode out.';
    end if;
    execute format('select %I.dblink_connect_u($1, $2)', v_schema) using p_session, df_internal.loopback(v_role);
end $$;
comment on function df_internal.connect_as_owner_of(text) is
    'Opens a dblink session of this name, as the role that has asked for it in df.wanted_sessions.';

create function df_internal.dblink_sessions(p_schema text) returns text[]
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_sessions text[];
begin
    execute format('select %I.dblink_get_connections()', p_schema) into v_sessions;
    return v_sessions;
end $$;
comment on function df_internal.dblink_sessions(text) is 'Names of the dblink sessions that this session has open.';

create function df_internal.enqueue() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_limit record;
begin
    select max(s.value) filter (where s.name = 'max_live_instances') as live,
           max(s.value) filter (where s.name = 'max_label_bytes') as label,
           max(s.value) filter (where s.name = 'max_variable_bytes') as variables
    into v_limit from df.settings as s;
    perform df_internal.refuse_submitter(new.submitted_by);
    if octet_length(concat(new.label, new.idempotency_key)) > v_limit.label then
        raise exception 'label and idempotency key exceed the maximum of % bytes', v_limit.label
            using errcode = 'program_limit_exceeded';
    end if;
    if octet_length(new.variables::text) > v_limit.variables then
        raise exception 'the variables exceed the maximum of % bytes', v_limit.variables
            using errcode = 'program_limit_exceeded', hint = 'Remove some with df.unsetvar(), or keep large values in a table.';
    end if;
    -- The same answer for a parent that does not exist and for one of another role.
    if new.parent_instance_id is not null and not exists (
        select from df.instances as p where p.id = new.parent_instance_id and p.submitted_by = new.submitted_by
    ) then
        raise exception 'Instance not found or access denied: %', new.parent_instance_id using errcode = 'no_data_found';
    end if;
    insert into df.queue (instance_id, submitted_by) values (new.id, new.submitted_by);
    -- Counting thousands of rows takes as long as the rest of a start, so a large limit is checked once in 16 starts.
    if (v_limit.live <= 1000 or new.id like '%0') and (
        select count(*) from (
            select from df.queue as q where q.submitted_by = new.submitted_by limit v_limit.live + 1
        ) as live
    ) > v_limit.live then
        raise exception 'role "%" has reached the maximum of % live instances', new.submitted_by, v_limit.live
            using errcode = 'configuration_limit_exceeded',
                  hint = 'Wait until some have ended, cancel some, or ask the owner of schema df to raise max_live_instances.';
    end if;
    -- A hint for idle workers. They poll as well, so a lost notification only delays.
    perform pg_notify('pgweave', '');
    return null;
end $$;
comment on function df_internal.enqueue() is
    'Makes a new instance known to the workers, in the transaction that starts it, unless its role may not have it.';
create trigger enqueue after insert on df.instances for each row execute function df_internal.enqueue();
comment on trigger enqueue on df.instances is 'Committed means queued.';

create function df_internal.number_nodes(p_instance_id text, p_root text) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    -- Rows written by hand may form anything. From a root without a parent, nodes of one parent each make a tree.
    if exists (
        select from df.edges as e where e.instance_id = p_instance_id
        group by e.child_id having count(*) > 1 or e.child_id = p_root
    ) then
        return;
    end if;
    with recursive edge as materialized (
        select e.parent_id, e.branch, e.child_id from df.edges as e where e.instance_id = p_instance_id
    ),
    place (id, key) as (
        select p_root, array[]::integer[]
        union all
        select e.child_id::text, p.key || e.branch from place as p join edge as e on e.parent_id = p.id
    ),
    numbered as (select p.id, row_number() over (order by p.key) - 1 as ordinal from place as p)
    update df.nodes as n set ordinal = o.ordinal from numbered as o where n.instance_id = p_instance_id and n.id = o.id;
end $$;
comment on function df_internal.number_nodes(text, text) is 'Puts nodes that were inserted without ordinals in pre-order.';

create function df_internal.rows_problem(p_instance_id text) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    v_max_nodes constant bigint := df_internal.setting('max_nodes');
    v_max_depth constant bigint := df_internal.setting('max_depth');
    v_max_bytes constant bigint := df_internal.setting('max_graph_bytes');
    v_instance record;
    v_nodes bigint;
    v_bytes bigint;
    v_depth integer := 0;
    v_problem text;
begin
    select count(*) into v_nodes from (
        select from df.nodes as n where n.instance_id = p_instance_id limit v_max_nodes + 1
    ) as counted;
    if v_nodes > v_max_nodes then
        return format('Workflow exceeds maximum node count of %s.', v_max_nodes);
    end if;
    select i.root_node, i.database into v_instance from df.instances as i where i.id = p_instance_id;
    select sum(octet_length(n.query)), case
        when bool_or(n.ordinal is null) then 'the nodes are not one tree'
        when count(distinct n.ordinal) <> count(*) or min(n.ordinal) <> 0 or max(n.ordinal) <> count(*) - 1
            then 'the ordinals of the nodes are not 0, 1, 2 ..'
        when min(n.id) filter (where n.ordinal = 0) <> v_instance.root_node
            then 'root_node is not the node with ordinal 0'
        when bool_or(n.database is distinct from v_instance.database)
            then 'a node names another database than its instance'
        when coalesce(sum(octet_length(n.query)), 0) > v_max_bytes
            then format('Workflow exceeds maximum size of %s bytes.', v_max_bytes)
    end
    into v_bytes, v_problem
    from df.nodes as n where n.instance_id = p_instance_id;
    if v_problem is not null then
        return v_problem;
    end if;

    -- Every node but the first has one parent, before it in the order: that is a tree, and all of it can be reached.
    select case when count(*) <> v_nodes - 1 or count(distinct c.id) <> count(*)
                     or not coalesce(bool_and(p.ordinal < c.ordinal), true)
                then 'the nodes are not one tree in pre-order' end
    into v_problem
    from df.edges as e
    join df.nodes as p on p.instance_id = e.instance_id and p.id = e.parent_id
    left join df.nodes as c on c.instance_id = e.instance_id and c.id = e.child_id
    where e.instance_id = p_instance_id;
    if v_problem is not null then
        return v_problem;
    end if;

    if v_nodes > v_max_depth then
        with recursive edge as materialized (
            select e.parent_id, e.child_id from df.edges as e where e.instance_id = p_instance_id
        ),
        level (id, depth) as (
            select v_instance.root_node, 0
            union all
            select e.child_id, l.depth + 1 from level as l join edge as e on e.parent_id = l.id
        )
        select max(l.depth) into v_depth from level as l;
        if v_depth > v_max_depth then
            return format('Graph exceeds maximum nesting depth of %s.', v_max_depth);
        end if;
    end if;
    select format('node %s: %s', n.id, df_internal.query_problem(n.node_type, n.query)) into v_problem
    from df.nodes as n
    where n.instance_id = p_instance_id and n.node_type <> 'SQL' and df_internal.query_problem(n.node_type, n.query) is not null
    order by n.ordinal limit 1;
    return v_problem;
exception when invalid_text_representation or untranslatable_character then
    return 'a configuration is not JSON: ' || sqlerrm;
end $$;
comment on function df_internal.rows_problem(text) is
    'What keeps the stored graph of an instance from being run; null if nothing. Asked when a start is committed, and by workers when rows have come since.';

create function df_internal.check_graph() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    v_problem text;
begin
    perform from df.nodes as n where n.instance_id = new.id and n.ordinal is null limit 1;
    if found then
        begin
            perform df_internal.number_nodes(new.id, new.root_node);
        exception when invalid_text_representation or untranslatable_character then
            null;  -- rows_problem says it
        end;
    end if;
    v_problem := df_internal.rows_problem(new.id);
    if v_problem is not null then
        raise exception 'Invalid durable function graph: %', v_problem using
            errcode = 'check_violation', schema = 'df', table = 'instances', constraint = 'instances_graph_chk';
    end if;
    -- SET CONSTRAINTS can have this run before the transaction has inserted its last node. Nodes can be added and never
    -- changed, so it is enough for a worker to count them.
    update df.queue as q set checked_nodes = (select count(*) from df.nodes as n where n.instance_id = new.id)
    where q.instance_id = new.id;
    return null;
end $$;
comment on function df_internal.check_graph() is 'When a start is committed: is the graph one tree, within the limits? Rows can be written by hand.';
create constraint trigger instances_graph_chk after insert on df.instances deferrable initially deferred
    for each row execute function df_internal.check_graph();

-- Asking and steering: status, result, cancel, signal, wait_for_completion; variables and secrets.
--
-- Functions here see the caller's rows only. df.cancel and df.signal insert into df.inbox and take no other lock, so an
-- open transaction of the caller never blocks a worker.

create function df_internal.require_instance(p_instance_id text) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_status text;
begin
    select i.status into v_status from df.instances as i where i.id = p_instance_id;
    if v_status is null then
        raise exception 'Instance not found or access denied: %', p_instance_id using errcode = 'no_data_found';
    end if;
    return v_status;
end $$;
comment on function df_internal.require_instance(text) is 'Status of an instance the caller may see; an error for every other id.';

create function df_internal.shown_status(p_instance_id text, p_status text) returns text
language sql stable parallel safe
return case
    when p_status in ('pending', 'running') and exists (
        select from df.inbox as b where b.instance_id = p_instance_id and b.kind = 'cancel' and b.consumed_by is null
    ) then 'cancelled'
    else p_status
end;
comment on function df_internal.shown_status(text, text) is 'The status as people see it: a request to cancel counts at once.';

create function df.status(instance_id text) returns text
language sql stable strict
set search_path = pg_catalog, pg_temp
as $$ select df_internal.shown_status(i.id, i.status) from df.instances as i where i.id = status.instance_id $$;
comment on function df.status(text) is
    'pending, running, completed, failed or cancelled; null for an unknown id. A request to cancel counts at once.';

create function df.result(instance_id text) returns text
language sql stable strict
set search_path = pg_catalog, pg_temp
as $$ select i.result::text from df.instances as i where i.id = result.instance_id and i.status = 'completed' $$;
comment on function df.result(text) is 'Result of a completed instance, as JSON text; null for any other.';

create function df.cancel(instance_id text, reason text default 'Cancelled by user') returns text
language plpgsql strict
set search_path = pg_catalog, pg_temp
as $$
declare
    v_status constant text := df_internal.require_instance(instance_id);
begin
    if v_status in ('completed', 'failed', 'cancelled') then
        return format('Instance %s is already %s', instance_id, v_status);
    end if;
    insert into df.inbox (instance_id, kind, payload) values (cancel.instance_id, 'cancel', to_json(reason));
    return format('Instance %s cancelled: %s', instance_id, reason);
end $$;
comment on function df.cancel(text, text) is
    'Ends an instance before its next step, if and when the calling transaction commits. A notice at the commit says so if the instance has ended first.';

create function df.signal(instance_id text, signal_name text, signal_data text default '{}') returns text
language plpgsql strict
set search_path = pg_catalog, pg_temp
as $$
declare
    v_status text;
    v_payload json;
    v_names text[];
begin
    if instance_id = '' then
        raise exception 'Instance ID cannot be empty' using errcode = 'invalid_parameter_value';
    end if;
    if signal_name = '' then
        raise exception 'Signal name cannot be empty' using errcode = 'invalid_parameter_value';
    end if;
    v_status := df_internal.require_instance(instance_id);
    if v_status in ('completed', 'failed', 'cancelled') then
        raise exception 'Instance % is %; a signal does not reach it any more', instance_id, v_status
            using errcode = 'object_not_in_prerequisite_state';
    end if;
    begin
        v_payload := signal_data::json;
        perform v_payload::jsonb;
    exception when invalid_text_representation or untranslatable_character then
        v_payload := to_json(signal_data);
    end;
    insert into df.inbox (instance_id, kind, name, payload) values (signal.instance_id, 'signal', signal_name, v_payload);
    select array_agg(distinct df_internal.config_of(n.query) ->> 'signal_name') into v_names from df.nodes as n
    where n.instance_id = signal.instance_id and n.node_type = 'SIGNAL';
    if not coalesce(signal_name = any (v_names), false) then
        raise notice 'no step of instance % waits for a signal "%"', instance_id, signal_name
            using hint = 'It is kept. ' || coalesce('The steps wait for: ' || array_to_string(v_names, ', '), 'No step waits for a signal.');
    end if;
    return 'OK';
end $$;
comment on function df.signal(text, text, text) is
    'Sends a signal. It is kept until a wait of that name takes it, first in, first out. What a branch took that then loses its race goes back to its place and is taken by the next wait. An error if the instance has ended; a notice if no step waits for that name.';

create function df_internal.refuse_in_workflow(p_call text, p_advice text) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if current_setting('df.in_workflow', true) = 'true' then
        raise exception '%() cannot be called inside a workflow - %', p_call, p_advice
            using errcode = 'object_not_in_prerequisite_state';
    end if;
end $$;
comment on function df_internal.refuse_in_workflow(text, text) is 'An error when a step of a workflow calls it.';

create function df.wait_for_completion(instance_id text, timeout_seconds integer default 30) returns text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_deadline constant timestamptz := clock_timestamp() + make_interval(secs => timeout_seconds);
    v_status text;
    v_own boolean;
    v_pause double precision := 0.005;
begin
    perform df_internal.refuse_in_workflow('df.wait_for_completion', 'use df.await_instance() as a step instead');
    if coalesce(timeout_seconds, 0) <= 0 then
        raise exception 'Timeout must be positive' using errcode = 'invalid_parameter_value';
    end if;
    loop
        -- A volatile function takes a new snapshot for each query, so the end is seen within this one statement.
        select i.status, i.created_at = now() into v_status, v_own
        from df.instances as i where i.id = wait_for_completion.instance_id;
        if v_status is null then
            raise exception 'Instance not found: %', instance_id using errcode = 'no_data_found';
        end if;
        if v_own and v_status = 'pending' then
            raise exception 'Instance % was started in this transaction, and no worker sees it before that commits', instance_id
                using errcode = 'object_not_in_prerequisite_state', hint = 'Commit first, then wait.';
        end if;
        exit when v_status in ('completed', 'failed', 'cancelled');
        if clock_timestamp() >= v_deadline then
            raise exception 'Timeout after %s waiting for instance % (status: %). Check if background worker is running.',
                timeout_seconds, instance_id, v_status using errcode = 'query_canceled';
        end if;
        perform pg_sleep(v_pause);
        v_pause := least(v_pause * 1.5, 0.1);
    end loop;
    return v_status;
end $$;
comment on function df.wait_for_completion(text, integer) is
    'Blocks until an instance has ended and returns its status. Not for use inside a workflow.';

create function df.run(instance_id text default null) returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    perform pg_notify('pgweave', '');
    return coalesce('Triggered run for instance: ' || instance_id, 'Triggered run for all pending instances');
end $$;
comment on function df.run(text) is 'Notifies idle workers. Nothing depends on it: whatever was started is run.';

create function df.version() returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select format('pgweave schema %s (installed %s)', max(m.number), to_char(max(m.applied_at), 'YYYY-MM-DD'))
    from df.migrations as m
$$;
comment on function df.version() is 'The version of this schema: the number of its newest migration, and when that ran.';

create function df.duroxide_schema() returns text
language sql immutable parallel safe
return 'df'::text;
comment on function df.duroxide_schema() is
    'Where the engine keeps its tables: df. For programs written for pg_durable, whose engine has a schema of its own.';

create function df.target_database() returns text
language sql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$ select current_database()::text $$;
comment on function df.target_database() is 'Where steps run unless df.start names another database: the one that holds the df schema.';

create function df_internal.accept_message() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_payload constant bigint := df_internal.setting('max_payload_bytes');
    v_signals constant bigint := df_internal.setting('max_signals');
begin
    if exists (select from arrived as a where octet_length(a.payload::text) > v_payload) then
        raise exception 'the payload exceeds the maximum of % bytes', v_payload using errcode = 'program_limit_exceeded',
            hint = 'Store the data in a table and send its key.';
    end if;
    if exists (
        select from (select distinct a.instance_id from arrived as a where a.kind = 'signal') as s
        where (select count(*) from (
            select from df.inbox as b where b.instance_id = s.instance_id and b.kind = 'signal' and b.consumed_by is null
            limit v_signals + 1
        ) as waiting) > v_signals
    ) then
        raise exception 'the instance has reached the maximum of % signals that wait to be taken', v_signals
            using errcode = 'configuration_limit_exceeded';
    end if;
    -- To an instance that has ended: no worker is to look at it.
    update df.inbox as b set seen = true from arrived as a
    where b.id = a.id and exists (
        select from df.instances as i where i.id = a.instance_id and i.status in ('completed', 'failed', 'cancelled')
    );
    perform pg_notify('pgweave', '');
    return null;
end $$;
comment on function df_internal.accept_message() is 'When signals or cancels arrive: checks the limits and notifies idle workers.';
create trigger notify_workers after insert on df.inbox referencing new table as arrived
    for each statement execute function df_internal.accept_message();
comment on trigger notify_workers on df.inbox is 'Limits, and a hint for idle workers.';

create function df_internal.mark_cancel_after_end() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_status text;
begin
    -- FOR SHARE waits for an end that is just being written; an end that comes later finds this request.
    perform from df.instances as i where i.id = new.instance_id for share;
    select i.status into v_status from df.instances as i where i.id = new.instance_id;
    if v_status in ('completed', 'failed', 'cancelled') then
        update df.inbox as b set seen = true where b.id = new.id;
        -- df.cancel has answered before; what it could not know is said now.
        if v_status <> 'cancelled' then
            raise notice 'Instance % is already %', new.instance_id, v_status;
        end if;
    end if;
    return null;
end $$;
comment on function df_internal.mark_cancel_after_end() is
    'When a cancel is committed: either the instance has ended before, or it ends cancelled.';
-- Deferred to the commit, so that a transaction left open after df.cancel does not block a worker. Cancels that a parent
-- sends to its children have a name and are left out: they are sent while the parent holds its own locks.
create constraint trigger mark_cancel_after_end after insert on df.inbox deferrable initially deferred
    for each row when (new.kind = 'cancel' and new.name is null) execute function df_internal.mark_cancel_after_end();
comment on trigger mark_cancel_after_end on df.inbox is 'A cancel and an end that race: exactly one wins.';

create function df_internal.refuse_change_after_end() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception 'Instance % is %; a finished instance never changes', old.id, old.status using errcode = 'PWR04';
end $$;
comment on function df_internal.refuse_change_after_end() is 'Refuses every change of an instance that has ended, our own mistakes included.';
create trigger refuse_change_after_end before update on df.instances for each row
    when (old.status in ('completed', 'failed', 'cancelled')) execute function df_internal.refuse_change_after_end();
comment on trigger refuse_change_after_end on df.instances is 'A terminal status is for ever.';

create function df.setvar(name text, value text) returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    perform df_internal.refuse_in_workflow('df.setvar', 'set variables before starting the workflow');
    if name is null or value is null then
        raise exception 'df.setvar: name and value cannot be NULL' using errcode = 'null_value_not_allowed',
            hint = 'Use df.unsetvar() to remove a variable.';
    end if;
    insert into df.vars (name, value) values (setvar.name, setvar.value)
    on conflict on constraint vars_pkey do update set value = excluded.value;
    return 'OK';
end $$;
comment on function df.setvar(text, text) is 'Sets a variable, {name} in later workflows of the same role.';

create function df.getvar(name text) returns text
language sql stable strict
set search_path = pg_catalog, pg_temp
as $$ select v.value from df.vars as v where v.owner = df_internal.caller() and v.name = getvar.name $$;
comment on function df.getvar(text) is 'The present value of a variable, or null.';

create function df.unsetvar(name text) returns text
language plpgsql strict
set search_path = pg_catalog, pg_temp
as $$
begin
    perform df_internal.refuse_in_workflow('df.unsetvar', 'manage variables before starting the workflow');
    delete from df.vars as v where v.owner = df_internal.caller() and v.name = unsetvar.name;
    return 'OK';
end $$;
comment on function df.unsetvar(text) is 'Removes a variable of the calling role.';

create function df.clearvars() returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    perform df_internal.refuse_in_workflow('df.clearvars', 'manage variables before starting the workflow');
    delete from df.vars as v where v.owner = df_internal.caller();
    return 'OK';
end $$;
comment on function df.clearvars() is 'Removes all variables of the calling role.';

create function df.set_secret(name text, value text) returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    perform df_internal.refuse_in_workflow('df.set_secret', 'its value would be kept with the step');
    if name is null or value is null then
        raise exception 'df.set_secret: name and value cannot be NULL' using errcode = 'null_value_not_allowed',
            hint = 'To remove a secret: SELECT df.unset_secret(name).';
    end if;
    if name !~ '^[A-Za-z_][A-Za-z0-9_]*$' then
        raise exception 'df.set_secret: the name has to match [a-zA-Z_][a-zA-Z0-9_]*'
            using errcode = 'invalid_parameter_value';
    end if;
    if value ~ '[[:cntrl:]]' or length(value) not between 1 and 8192 then
        raise exception 'df.set_secret: the value has to be 1 to 8192 characters without line breaks'
            using errcode = 'invalid_parameter_value';
    end if;
    insert into df.secrets (name, value) values (set_secret.name, set_secret.value);
    return 'OK';
end $$;
comment on function df.set_secret(text, text) is
    'Keeps a secret for headers of HTTP steps, written {secret:name}, in workflows that this role starts.';

create function df.unset_secret(name text) returns text
language plpgsql strict
set search_path = pg_catalog, pg_temp
as $$
begin
    insert into df.secrets (name, value) values (unset_secret.name, null);
    return 'OK';
end $$;
comment on function df.unset_secret(text) is 'Removes a secret.';

create function df_internal.replace_secret() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    delete from df.secrets as s where s.owner = new.owner and s.name = new.name and s.id < new.id;
    return null;
end $$;
comment on function df_internal.replace_secret() is 'Removes the earlier values of a secret.';
create trigger replace_secret after insert on df.secrets for each row execute function df_internal.replace_secret();
comment on trigger replace_secret on df.secrets is 'A new value replaces the old one.';

-- One statement run to its result, for steps. Steps in other databases, which have no df schema, use the same text as
-- temporary functions: the query make_step_runner puts pg_temp in the place of df_internal.

create function df_internal.encode_row(p_row record) returns text
language plpgsql
-- A result looks the same whatever the role, its database or the step has set, and reads back as the same value under
-- any of these settings: ISO dates, times in UTC, floats with all their digits.
set datestyle = 'ISO, YMD'
set intervalstyle = 'postgres'
set timezone = 'UTC'
set bytea_output = 'hex'
set extra_float_digits = 1
as $$
begin
    return pg_catalog.row_to_json(p_row)::pg_catalog.text;
end $$;

create function df_internal.run_statement(p_query text, p_max_bytes bigint) returns text
language plpgsql
-- No search_path of its own: the statement must see the submitter's. Hence every other name is qualified.
as $$
declare
    v_cursor pg_catalog.refcursor;
    v_record record;
    v_row pg_catalog.text;
    v_rows pg_catalog.text[] := '{}';
    v_bytes pg_catalog.int8 := 0;
    v_affected pg_catalog.int8 := 0;
    v_columns pg_catalog.text := '';
    v_result pg_catalog.text;
begin
    begin
        open v_cursor for execute p_query;
    exception when invalid_cursor_definition then
        -- A statement that returns no rows has no cursor. Nothing of it has run yet.
        v_cursor := null;
    end;
    if v_cursor is null then
        execute p_query;
        get diagnostics v_affected = row_count;
    else
        loop
            -- What is computed here, row by row, is computed under the settings of the step; only what is written down is not.
            fetch v_cursor into v_record;
            exit when not found;
            v_row := df_internal.encode_row(v_record);
            v_bytes := v_bytes OPERATOR(pg_catalog.+) pg_catalog.octet_length(v_row);
            if v_bytes OPERATOR(pg_catalog.>) p_max_bytes then
                raise exception 'The result is larger than % bytes', p_max_bytes using errcode = 'PWR03',
                    hint = 'Return fewer rows or columns: store the data in a table and return its key.';
            end if;
            v_rows := pg_catalog.array_append(v_rows, v_row);
        end loop;
        close v_cursor;
        if v_rows OPERATOR(pg_catalog.=) '{}' then
            -- Without rows the column names would be lost, and `$name.*` needs them. FETCH without a row gives NULLs.
            v_columns := pg_catalog.concat(',"columns":', (
                select pg_catalog.json_agg(k) from pg_catalog.json_object_keys(pg_catalog.row_to_json(v_record)) as k
            ));
        end if;
        v_affected := pg_catalog.cardinality(v_rows);
    end if;
    v_result := pg_catalog.concat(
        '{"rows":[', pg_catalog.array_to_string(v_rows, ','), '],"row_count":', pg_catalog.cardinality(v_rows),
        ',"rows_affected":', v_affected, v_columns, '}'
    );
    if pg_catalog.getdatabaseencoding() OPERATOR(pg_catalog.=) 'SQL_ASCII' then
        -- Such a database takes any bytes; a worker could not read a result that is not UTF-8, and no step after it could.
        perform pg_catalog.convert_from(pg_catalog.textsend(v_result), 'UTF8');
    end if;
    return v_result;
end $$;

comment on function df_internal.encode_row(record) is 'One row of a result as JSON, the same under all settings of a session.';
comment on function df_internal.run_statement(text, bigint) is
    'Runs one statement and returns its result as JSON: rows, row_count, rows_affected, and columns where there are no rows.';

-- A SQL step. Two sessions take part in running an instance: the worker's own, on which it leases, waits and decides
-- (75_worker), and one that is logged in as the submitting role, on which exec_node runs that role's SQL.
--
-- exec_node runs with the rights of the submitter. Its two SECURITY DEFINER halves check the lease and write the
-- checkpoint; both act for session_user only, which no SQL of a step can change.
--
-- SQLSTATEs that these functions raise: PWR01 the lease is lost, PWR02 the node-run has ended already, PWR03 the result
-- is too large, PWR04 the instance has ended already, PWR05 the instance is to be cancelled.

create function df_internal.fence(p_instance_id text, p_token uuid) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    -- FOR KEY SHARE: a take-over (for update) has to wait; wake-ups and renewals need not.
    perform from df.queue as q where q.instance_id = p_instance_id and q.token = p_token for key share;
    if not found then
        raise exception 'The lease on instance % is lost', p_instance_id using errcode = 'PWR01';
    end if;
end $$;
comment on function df_internal.fence(text, uuid) is 'Holds the lease until the transaction ends, or raises PWR01.';

create function df_internal.show_leaf(p_instance_id text, p_node_id text, p_result text, p_error jsonb) returns void
language sql
set search_path = pg_catalog, pg_temp
as $$
    update df.nodes as n
    set status = case when p_error is null then 'completed' else 'failed' end, updated_at = df.clock(),
        error = p_error ->> 'message', result = coalesce(df_internal.as_jsonb(p_result), to_jsonb(p_error ->> 'message'))
    where n.instance_id = p_instance_id and n.id = p_node_id
$$;
comment on function df_internal.show_leaf(text, text, text, jsonb) is 'Copies the end of a run to its node, for those who watch df.nodes.';

create function df_internal.checkpoint(
    p_instance_id text, p_node_id text, p_iteration integer[], p_result text, p_error jsonb, p_query text,
    p_attempts integer, p_started_at timestamptz, p_columns json default null
) returns timestamptz
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_finished_at constant timestamptz := df.clock();
begin
    -- Of two transactions that run the same step the second waits here for the first, and then must not commit.
    insert into df.runs (
        instance_id, node_id, iteration, status, result, columns, error, query, attempts, started_at, finished_at,
        submitted_by
    )
    select p_instance_id, p_node_id, p_iteration, case when p_error is null then 'completed' else 'failed' end,
           p_result::json, p_columns, p_error, p_query, p_attempts, p_started_at, v_finished_at, i.submitted_by
    from df.instances as i where i.id = p_instance_id
    on conflict (instance_id, node_id, iteration) do nothing;
    if not found then
        raise exception 'Node % of instance % has run already', p_node_id, p_instance_id using errcode = 'PWR02';
    end if;
    if current_setting('transaction_isolation') = 'read committed' then
        -- Progress: earlier leases without any no longer count.
        update df.queue as q set attempts = 1 where q.instance_id = p_instance_id and q.attempts > 1;
        perform df_internal.show_leaf(p_instance_id, p_node_id, p_result, p_error);
    end if;
    -- Else renewals that came after the snapshot would be conflicts, of every step that takes long: worker_shown does it.
    return v_finished_at;
end $$;
comment on function df_internal.checkpoint(text, text, integer[], text, jsonb, text, integer, timestamptz, json) is
    'Records the end of a node-run, once. Returns when that was.';

create function df_internal.step_begin(p_instance_id text, p_node_id text, p_iteration integer[], p_token uuid) returns xid8
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform df_internal.fence(p_instance_id, p_token);
    -- Only session_user can be trusted here: it is the login, which no SQL of the step can change.
    perform from df.instances as i
    where i.id = p_instance_id and i.submitted_by = quote_ident(session_user)::regrole
      and i.status not in ('completed', 'failed', 'cancelled');
    if not found then
        raise exception 'The lease on instance % is lost', p_instance_id using errcode = 'PWR01';
    end if;
    -- A session outlives the right to log in.
    perform df_internal.refuse_submitter(quote_ident(session_user)::regrole);
    perform from df.runs as r
    where r.instance_id = p_instance_id and r.node_id = p_node_id and r.iteration = p_iteration;
    if found then
        raise exception 'Node % of instance % has run already', p_node_id, p_instance_id using errcode = 'PWR02';
    end if;
    -- No step begins once a cancel is committed.
    perform from df.inbox as b where b.instance_id = p_instance_id and b.kind = 'cancel' and b.consumed_by is null;
    if found then
        raise exception 'Instance % is to be cancelled', p_instance_id using errcode = 'PWR05';
    end if;
    return pg_current_xact_id();
end $$;
comment on function df_internal.step_begin(text, text, integer[], uuid) is
    'First half of a step: lock and fence. Returns the transaction that has to finish it.';

create function df_internal.step_end(
    p_instance_id text, p_node_id text, p_iteration integer[], p_token uuid, p_transaction xid8, p_result text,
    p_query text, p_attempts integer, p_started_at timestamptz, p_columns json default null
) returns timestamptz
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if p_transaction is distinct from pg_current_xact_id() then
        raise exception 'The step of node % left its transaction', p_node_id using errcode = 'PWR01';
    end if;
    if current_setting('transaction_isolation') = 'read committed' then
        perform df_internal.fence(p_instance_id, p_token);
    end if;
    -- Else a renewal since the snapshot would be a conflict. The lock of the first half still holds: it is this transaction.
    perform from df.instances as i where i.id = p_instance_id and i.submitted_by = quote_ident(session_user)::regrole;
    if not found then
        raise exception 'The lease on instance % is lost', p_instance_id using errcode = 'PWR01';
    end if;
    return df_internal.checkpoint(
        p_instance_id, p_node_id, p_iteration, p_result, null, p_query, p_attempts, p_started_at, p_columns
    );
end $$;
comment on function df_internal.step_end(text, text, integer[], uuid, xid8, text, text, integer, timestamptz, json) is
    'Second half of a step: the checkpoint, in the transaction that did the work.';

create function df_internal.exec_node(
    p_instance_id text, p_node_id text, p_iteration integer[], p_token uuid, p_query text, p_attempts integer,
    p_max_bytes bigint, p_columns json default null, p_role text default null, out result text,
    out finished_at timestamptz
)
language plpgsql security invoker
-- No search_path of its own: the step has to see the submitter's. Hence every name below is qualified.
as $$
declare
    v_started_at constant pg_catalog.timestamptz := df.clock();
    v_transaction pg_catalog.xid8;
begin
    v_transaction := df_internal.step_begin(p_instance_id, p_node_id, p_iteration, p_token);
    perform pg_catalog.set_config('df.in_workflow', 'true', true);
    perform pg_catalog.set_config('df.instance_id', p_instance_id, true);
    perform pg_catalog.set_config('df.node_id', p_node_id, true);
    if p_role is not null then
        perform pg_catalog.set_config('role', p_role, true);
    end if;
    if pg_catalog.current_setting('default_transaction_read_only') OPERATOR(pg_catalog.=) 'on' then
        -- The statement is read-only, and the checkpoint after it is not: a subtransaction, which the handler makes of
        -- this block, gives the mode back when it ends.
        begin
            perform pg_catalog.set_config('transaction_read_only', 'on', true);
            result := df_internal.run_statement(p_query, p_max_bytes);
        exception when sqlstate 'PWR00' then
            raise;
        end;
    else
        result := df_internal.run_statement(p_query, p_max_bytes);
    end if;
    -- Whatever role the step has taken, by itself or by default: the second half is called as the login.
    perform pg_catalog.set_config('role', 'none', true);
    finished_at := df_internal.step_end(
        p_instance_id, p_node_id, p_iteration, p_token, v_transaction, result, p_query, p_attempts, v_started_at, p_columns
    );
end $$;
comment on function df_internal.exec_node(text, text, integer[], uuid, text, integer, bigint, json, text) is
    'One SQL step: fence, statement and checkpoint in one transaction and one round trip.';

-- What a worker calls on its own session, and nobody else (90_privileges): all are SECURITY DEFINER. Each write begins
-- with fence(): it names the token of the lease and locks the queue row.
--
-- One round of work on an instance: worker_claim, worker_load, then again and again worker_settle, steps (71_steps) and
-- worker_wait or worker_decide, until worker_park or worker_finish. HTTP requests cannot be part of a transaction and
-- are made at least once: worker_request before, worker_record or worker_fail after, with one idempotency key.
--
-- Suspects. A worker that dies leaves the leases of several instances, and which of them it died of is unknown. Those
-- with several leases and no progress are worked on one at a time over all workers (worker_quarantine): the one that
-- kills workers reaches its limit of attempts alone, and the others make progress without it.

create function df_internal.worker_claim(
    p_worker text, p_limit integer, p_lease_seconds double precision, p_in_hand text[] default '{}', p_reserve integer default 0
) returns table (instance_id text, token uuid, role_name text, database text, attempts integer)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    -- A constant, so that the indexes can be used: a million sleeping instances cost nothing here.
    v_now constant timestamptz := df.clock();
    -- p_limit is below 0 while slots of the reserve are in use.
    v_most constant integer := greatest(p_limit + p_reserve, 0);
begin
    return query
    with recursive roles (role) as (
        -- The roles with work that may be due, one index probe each.
        (select q.submitted_by::oid from df.queue as q where q.ready_at < 'infinity' order by q.submitted_by limit 1)
        union all
        select (select q.submitted_by::oid from df.queue as q
                where q.ready_at < 'infinity' and q.submitted_by > r.role order by q.submitted_by limit 1)
        from roles as r where r.role is not null
    ),
    unseen (instance_id) as (
        -- The instances with messages no worker has seen, one index probe each: many for one must not hide another's.
        (select b.instance_id::text from df.inbox as b where not b.seen order by b.instance_id limit 1)
        union all
        select (select b.instance_id::text from df.inbox as b
                where not b.seen and b.instance_id > l.instance_id order by b.instance_id limit 1)
        from unseen as l where l.instance_id is not null
    ),
    candidates (instance_id, role, ready_at) as (
        (select w.instance_id, r.role, w.ready_at from roles as r cross join lateral (
             select q.instance_id, q.ready_at from df.queue as q
             where q.submitted_by = r.role and q.ready_at < 'infinity' and q.ready_at <= v_now and q.leased_until <= v_now
             order by q.ready_at limit v_most
         ) as w)
        union
        (select q.instance_id, q.submitted_by::oid, q.ready_at from unseen as l join df.queue as q on q.instance_id = l.instance_id
         where q.leased_until <= v_now limit v_most)
    ),
    in_hand (role, slots) as (
        select q.submitted_by::oid, count(*) from df.queue as q where q.instance_id = any (p_in_hand) group by q.submitted_by
    ),
    placed (instance_id, role, place) as (
        select c.instance_id, c.role, coalesce(h.slots, 0) + row_number() over (partition by c.role order by c.ready_at)
        from candidates as c left join in_hand as h on h.role = c.role
    ),
    -- Next is always the role with the fewest slots. Between equals by chance: the first row of one may be locked for long.
    ordered (instance_id, place, turn) as (
        select p.instance_id, p.place, row_number() over (order by p.place, o.chance)
        from placed as p join (select r.role, random() as chance from (select distinct c.role from candidates as c) as r) as o
          on o.role = p.role
    ),
    wanted (instance_id) as (
        -- The n-th slot of a role: one of p_limit, or one of the reserve while n of that are free.
        select o.instance_id from ordered as o where o.turn <= p_limit + greatest(p_reserve + 1 - o.place, 0)
    ),
    due as (
        -- Skip locked: two workers never wait for each other here, and a step in flight keeps its instance.
        select q.instance_id from df.queue as q
        where q.instance_id in (select w.instance_id from wanted as w) and q.leased_until <= v_now
        for update skip locked
    )
    update df.queue as q
    set token = gen_random_uuid(), worker = p_worker, attempts = q.attempts + 1,
        leased_until = v_now + make_interval(secs => p_lease_seconds),
        -- Whatever made the instance due: if this worker dies, it is due again when the lease ends.
        ready_at = least(q.ready_at, v_now)
    from due, df.instances as i left join pg_roles as r on r.oid = i.submitted_by
    where q.instance_id = due.instance_id and i.id = due.instance_id
    returning q.instance_id::text, q.token, r.rolname::text, i.database, q.attempts;
end $$;
comment on function df_internal.worker_claim(text, integer, double precision, text[], integer) is
    'Leases instances that are due, the role with the fewest in hand first: p_limit, and up to p_reserve beyond them for roles with few. p_in_hand: what the worker has. An expired lease counts as none: that is crash recovery.';

create function df_internal.worker_heartbeat(
    p_worker text, p_concurrency integer, p_version text, p_leases integer, p_lock_key bigint
) returns void
language sql security definer
set search_path = pg_catalog, pg_temp
as $$
    insert into df.workers (name, concurrency, version, leases, lock_key)
    values (p_worker, p_concurrency, p_version, p_leases, p_lock_key)
    on conflict (name) do update
    set seen_at = df.clock(), leases = excluded.leases, lock_key = excluded.lock_key, vanished_at = null;
    -- Names are random, so a worker that has been silent for a day does not come back under its name.
    delete from df.workers as w where w.seen_at < df.clock() - interval '1 day';
    -- Messages that were committed when their instance had just ended. Every claim would look at them.
    update df.inbox as b set seen = true
    where not b.seen and not exists (select from df.queue as q where q.instance_id = b.instance_id);
$$;
comment on function df_internal.worker_heartbeat(text, integer, text, integer, bigint) is
    'A worker is alive. p_lock_key: the advisory lock that one of its sessions has; null for none.';

create function df_internal.worker_end_vanished(p_worker text) returns boolean
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_now constant timestamptz := df.clock();
    -- A worker that has only lost its session takes a new lock within a fraction of this.
    v_grace constant interval := '0.5 s';
    v_other record;
begin
    if not exists (select from df.workers as w where w.name <> p_worker) then
        return false;
    end if;
    -- After a restart of the server every session is gone, and the workers come back one after the other.
    if pg_postmaster_start_time() > v_now - interval '5 s' then
        return true;
    end if;
    for v_other in
        select w.name, w.lock_key, w.vanished_at from df.workers as w
        where w.lock_key is not null and w.name <> p_worker order by w.name
    loop
        -- The server drops the lock of a session that ends, however it ends. Any role could take the same lock, and so
        -- make a worker that is gone look alive: then its leases end by the clock, as where a link is silent. No role
        -- can make a live worker look gone.
        if not pg_try_advisory_xact_lock_shared(v_other.lock_key) then
            if v_other.vanished_at is not null then
                update df.workers as w set vanished_at = null where w.name = v_other.name;
            end if;
        elsif v_other.vanished_at is null then
            update df.workers as w set vanished_at = v_now where w.name = v_other.name;
        elsif v_other.vanished_at <= v_now - v_grace then
            -- A statement that it left running keeps its row locked against a claim until the server notices.
            update df.queue as q set leased_until = '-infinity'
            where q.instance_id in (
                select l.instance_id from df.queue as l
                where l.worker = v_other.name and l.leased_until > v_now for no key update skip locked
            );
            if not exists (select from df.queue as q where q.worker = v_other.name and q.leased_until > v_now) then
                delete from df.workers as w where w.name = v_other.name;
            end if;
        end if;
    end loop;
    return true;
end $$;
comment on function df_internal.worker_end_vanished(text) is
    'Ends the leases of workers whose session the server no longer has. Returns whether there are other workers.';

create function df_internal.worker_keeps(p_worker text, p_tokens uuid[]) returns bigint
language sql security definer
set search_path = pg_catalog, pg_temp
as $$
    -- Claims and parks do not wait for the disk. A server that crashes may forget that an instance has been parked, and
    -- remembers a lease that its worker knows nothing of: it would keep the instance from everybody until it ends.
    with forgotten as (
        select q.instance_id from df.queue as q
        where q.worker = p_worker and q.leased_until > df.clock() and q.token <> all (p_tokens)
        for no key update skip locked
    ),
    freed as (
        update df.queue as q set leased_until = '-infinity', ready_at = least(q.ready_at, df.clock())
        from forgotten as f where q.instance_id = f.instance_id
        returning q.instance_id
    )
    select count(*) from freed
$$;
comment on function df_internal.worker_keeps(text, uuid[]) is
    'Ends the leases of a worker but for these: it has been away, and knows of no others. Returns how many that were.';

create function df_internal.worker_stopped(p_worker text) returns void
language sql security definer
set search_path = pg_catalog, pg_temp
as $$ delete from df.workers as w where w.name = p_worker $$;
comment on function df_internal.worker_stopped(text) is 'A worker has stopped in good order.';

create function df_internal.worker_quarantine() returns boolean
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    -- The lock lasts as long as the transaction; the timeout frees it when the worker's machine is gone.
    perform set_config('idle_in_transaction_session_timeout', '10min', true);
    perform from df.quarantine as s for update skip locked;
    return found;
end $$;
comment on function df_internal.worker_quarantine() is
    'Whether the caller may work on a suspect until its transaction ends; over all workers one may at a time.';

create function df_internal.worker_renew(
    p_instance_ids text[], p_tokens uuid[], p_running jsonb, p_lease_seconds double precision
) returns uuid[]
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_now constant timestamptz := df.clock();
    v_held uuid[];
begin
    -- Locked rows are skipped: whoever has one is just writing a checkpoint, a wake-up or the end, and waiting for
    -- several of them could be a deadlock. Their leases still hold, and the next renewal comes long before they end.
    update df.queue as q set leased_until = df.clock() + make_interval(secs => p_lease_seconds)
    where q.instance_id in (
        -- By the primary key: tokens have no index, and one would cost something at every claim.
        select l.instance_id from df.queue as l
        where l.instance_id = any (p_instance_ids) and l.token = any (p_tokens) for no key update skip locked
    );
    select coalesce(array_agg(q.token), '{}') into v_held from df.queue as q
    where q.instance_id = any (p_instance_ids) and q.token = any (p_tokens);
    -- Steps that outlive a renewal are shown as running; showing shorter ones would cost a write per step.
    update df.nodes as n
    set status = 'running', result = null, error = null, updated_at = df.clock(),
        status_details = case when s.iteration is null then n.status_details
                              else coalesce(n.status_details, '{}') || jsonb_build_object('iteration', s.iteration) end
    from jsonb_to_recordset(p_running) as s (instance_id text, node_id text, iteration jsonb, seconds double precision)
    where n.instance_id = s.instance_id and n.id = s.node_id
      -- A state older than the step is that of an earlier turn; a newer one is the end of this step.
      and (n.status = 'pending' or n.updated_at < v_now - make_interval(secs => s.seconds))
      and not exists (
          select from df.runs as r
          where r.instance_id = s.instance_id and r.node_id = s.node_id and to_jsonb(r.iteration) = s.iteration
      );
    return v_held;
end $$;
comment on function df_internal.worker_renew(text[], uuid[], jsonb, double precision) is
    'Extends leases, shows long steps as running, and returns the tokens that are still valid.';

create function df_internal.worker_load(p_instance_id text, p_token uuid) returns json
language plpgsql security definer
set search_path = pg_catalog, pg_temp
-- A lock that a user has on a row must not block a worker: it comes back to this instance a little later.
set lock_timeout = '250ms'
as $$
declare
    v_checked integer;
    v_problem text;
begin
    perform df_internal.fence(p_instance_id, p_token);
    update df.instances as i set status = 'running', updated_at = df.clock()
    where i.id = p_instance_id and i.status = 'pending';
    select q.checked_nodes into v_checked from df.queue as q where q.instance_id = p_instance_id;
    if v_checked is distinct from (select count(*) from df.nodes as n where n.instance_id = p_instance_id) then
        v_problem := coalesce(df_internal.rows_problem(p_instance_id), 'nodes were added after the start');
    end if;
    return (
        select json_build_object(
            'label', i.label, 'variables', i.variables, 'format', i.format, 'root', i.root_node, 'problem', v_problem,
            'nodes', case when v_problem is null then (
                select json_agg(json_build_object(
                    'id', n.id, 'node_type', n.node_type, 'query', n.query, 'result_name', n.result_name,
                    'left_node', n.left_node, 'right_node', n.right_node
                ) order by n.ordinal)
                from df.nodes as n where n.instance_id = i.id
            ) else '[]' end
        )
        from df.instances as i where i.id = p_instance_id
    );
end $$;
comment on function df_internal.worker_load(text, uuid) is 'The graph of a leased instance, which never changes; or problem: what keeps it from being run.';

create function df_internal.worker_wait(p_instance_id text, p_token uuid, p_waits jsonb) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform df_internal.fence(p_instance_id, p_token);
    insert into df.runs (
        instance_id, node_id, iteration, status, started_at, due_at, signal_name, awaited_id, submitted_by
    )
    select
        p_instance_id, w.node_id,
        coalesce(array(select e.value::integer from jsonb_array_elements_text(w.iteration) with ordinality as e (value, place)
                       order by e.place), '{}'),
        'waiting', df.clock(), coalesce(w.due_at, df_internal.seconds_from_now(w.seconds)), w.signal_name,
        w.awaited_id, i.submitted_by
    from jsonb_to_recordset(p_waits) as w (
        node_id text, iteration jsonb, seconds double precision, due_at timestamptz, signal_name text, awaited_id text
    ), df.instances as i
    where i.id = p_instance_id
    on conflict (instance_id, node_id, iteration) do nothing;
    update df.nodes as n set status = 'running', result = null, updated_at = df.clock()
    from jsonb_to_recordset(p_waits) as w (node_id text)
    where n.instance_id = p_instance_id and n.id = w.node_id;
end $$;
comment on function df_internal.worker_wait(text, uuid, jsonb) is 'Begins waits: for a time, a signal or an instance.';

create function df_internal.may_await(p_owner regrole, p_role regrole) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select p_owner = p_role or exists (
        select from pg_roles as r where r.oid = p_role and (r.rolsuper or r.rolbypassrls)
    )
$$;
comment on function df_internal.may_await(regrole, regrole) is
    'Whether workflows of p_role see an instance of p_owner. For the others it does not exist.';

create function df_internal.await_outcome(
    p_instance_id text, p_node_id text, p_awaited_id text, p_due_at timestamptz, p_submitted_by regrole,
    out done boolean, out result text, out error text
)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_child record;
    v_config jsonb;
begin
    select i.id, i.status, i.result, i.error into v_child from df.instances as i
    where i.id = p_awaited_id and df_internal.may_await(i.submitted_by, p_submitted_by);
    select df_internal.as_jsonb(n.query) into v_config from df.nodes as n
    where n.instance_id = p_instance_id and n.id = p_node_id;
    done := true;
    if v_child.id is null then
        error := format('Instance not found: %s', p_awaited_id);
    elsif v_child.status = 'completed' then
        result := format('{"instance_id":"%s","status":"completed","result":%s}', v_child.id, coalesce(v_child.result::text, 'null'));
    elsif v_child.status in ('failed', 'cancelled') then
        error := format(
            'Awaited instance %s ended with status %s: %s', v_child.id, v_child.status,
            case when v_child.status = 'failed' then coalesce((v_child.error -> 'message')::text, 'null')
                 -- Why it was cancelled, as whoever did it said.
                 else coalesce(nullif(regexp_replace(v_child.error ->> 'message', '^canceled: ', ''), ''), 'null') end
        );
        if v_config ->> 'on_failure' = 'return' then
            result := format(
                '{"instance_id":"%s","status":"%s","result":null,"error":%s}',
                v_child.id, v_child.status, coalesce((v_child.error -> 'message')::text, 'null')
            );
            error := null;
        end if;
    elsif p_due_at <= df.clock() then
        error := format('Timed out after %ss waiting for instance %s', v_config ->> 'timeout_seconds', v_child.id);
        if v_config ->> 'on_timeout' = 'return' then
            result := format(
                '{"instance_id":"%s","status":"%s","result":null,"error":%s,"timed_out":true}',
                v_child.id, v_child.status, to_json(error)
            );
            error := null;
        end if;
    else
        done := false;
    end if;
end $$;
comment on function df_internal.await_outcome(text, text, text, timestamptz, regrole) is
    'What a wait for an instance has come to. An instance that the role may not see does not exist for it.';

create function df_internal.signal_outcome(
    p_instance_id text, p_node_id text, p_signal_name text, p_due_at timestamptz,
    out done boolean, out result text, out error text
)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_id bigint;
    v_payload json;
begin
    update df.inbox as b set consumed_by = p_node_id
    where b.id = (
        select min(c.id) from df.inbox as c
        where c.instance_id = p_instance_id and c.kind = 'signal' and c.name = p_signal_name
          and c.consumed_by is null and c.sent_at <= coalesce(p_due_at, 'infinity')
    )
    returning b.id, b.payload into v_id, v_payload;
    done := v_id is not null or coalesce(p_due_at <= df.clock(), false);
    if done then
        result := format(
            '{"signal_name":%s,"timed_out":%s,"data":%s}', to_json(p_signal_name),
            case when v_id is null then 'true' else 'false' end, coalesce(v_payload::text, 'null')
        );
    end if;
end $$;
comment on function df_internal.signal_outcome(text, text, text, timestamptz) is 'Consumes the oldest signal for a wait, or says that it has timed out.';

-- Which waits are over, in the order in which they ended: that decides a race, not when the worker looked.
--
-- held: not to be ended yet, because the other side of a race around it has had an end, perhaps the one that decides the
-- race. `df.wait_for_signal('a') | df.sleep(5)` with both over: only the earlier one ends, the worker decides the race,
-- and a signal that came second is never taken. If the race is not decided by that (the earlier one was the first step of
-- its branch), the other one ends at the next settle. The first wait in the order is never held by another one, so each
-- settle makes progress.
-- p_decided: the worker has decided every race that can be, with all that is recorded. If not, a run that has ended
-- already holds the waits of the other side, too.
create function df_internal.waits_over(p_instance_id text, p_decided boolean) returns table (
    node_id text, iteration integer[], place bigint, held boolean
)
language plpgsql
set search_path = pg_catalog, pg_temp
set jit = off
as $$
#variable_conflict use_column
declare
    v_now constant timestamptz := df.clock();
    v_races constant boolean := exists (
        select from df.nodes as n where n.instance_id = p_instance_id and n.node_type = 'RACE'
    );
begin
    perform from df.runs as r where r.instance_id = p_instance_id and r.status = 'waiting';
    if not found then
        return;
    end if;
    -- An end that is just being written is waited for; an end that comes later finds this wait.
    perform from df.instances as i
    where i.id in (select r.awaited_id from df.runs as r where r.instance_id = p_instance_id and r.status = 'waiting')
      and df_internal.may_await(i.submitted_by, (select o.submitted_by from df.instances as o where o.id = p_instance_id))
    order by i.id for share;
    return query
        with recursive wait as materialized (
            select r.node_id, r.iteration, row_number() over (order by e.ended_at, r.started_at, n.ordinal) as place
            from df.runs as r
            join df.nodes as n on n.instance_id = r.instance_id and n.id = r.node_id
            left join df.instances as i on i.id = r.awaited_id and df_internal.may_await(i.submitted_by, r.submitted_by)
            left join lateral (
                select min(b.sent_at) as sent_at from df.inbox as b
                where b.instance_id = r.instance_id and b.kind = 'signal' and b.name = r.signal_name
                  and b.consumed_by is null and b.sent_at <= coalesce(r.due_at, 'infinity')
            ) as l on r.signal_name is not null
            cross join lateral (select least(r.due_at, i.completed_at, l.sent_at) as ended_at) as e
            where r.instance_id = p_instance_id and r.status = 'waiting'
              and (r.due_at <= v_now or l.sent_at is not null
                   or r.awaited_id is not null and coalesce(i.status, '') not in ('pending', 'running'))
        ),
        edge as materialized (
            select e.parent_id, e.branch, e.child_id, p.node_type
            from df.edges as e join df.nodes as p on p.instance_id = e.instance_id and p.id = e.parent_id
            where v_races and e.instance_id = p_instance_id and exists (select from wait)
        ),
        -- From each wait that is over, and each run that has ended, up to the root. loops: how many loops lie in between.
        above (node_id, iteration, place, id, loops, race_id, side) as (
            select w.node_id::text, w.iteration, w.place, w.node_id::text, 0, null::text, null::integer
            from wait as w where v_races
            union all
            select r.node_id, r.iteration, 0, r.node_id, 0, null, null
            from df.runs as r
            where v_races and not p_decided and r.instance_id = p_instance_id and r.status in ('completed', 'failed')
              and exists (select from wait)
            union all
            select a.node_id, a.iteration, a.place, e.parent_id, a.loops + (e.node_type = 'LOOP')::integer,
                   case when e.node_type = 'RACE' then e.parent_id end, e.branch
            from above as a join edge as e on e.child_id = a.id
        ),
        inside as (
            select a.node_id, a.iteration, a.place, a.side,
                   min(a.place) filter (where a.side = 1) over race as first_left,
                   min(a.place) filter (where a.side = 2) over race as first_right
            from above as a
            where a.race_id is not null and not exists (
                select from df.runs as d
                where d.instance_id = p_instance_id and d.node_id = a.race_id
                  and d.iteration = a.iteration[:cardinality(a.iteration) - a.loops]
            )
            window race as (partition by a.race_id, a.iteration[:cardinality(a.iteration) - a.loops])
        ),
        holding as (
            select distinct i.place from inside as i
            where i.place > case i.side when 1 then i.first_right else i.first_left end
        )
        select w.node_id::text, w.iteration, w.place, w.place in (select h.place from holding as h)
        from wait as w order by w.place;
end $$;
comment on function df_internal.waits_over(text, boolean) is
    'The waits of an instance that are over, the earliest first, and which of them are held until a race is decided.';

create function df_internal.worker_settle(p_instance_id text, p_token uuid, p_decided boolean) returns json
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_wakes bigint;
    v_more boolean := false;
    v_run record;
    v_type text;
    v_config text;
    v_outcome record;
    v_error jsonb;
begin
    perform df_internal.fence(p_instance_id, p_token);
    -- Read first: whatever changes from here on raises the count, and worker_park then refuses.
    select q.wakes into v_wakes from df.queue as q where q.instance_id = p_instance_id;
    update df.inbox as b set seen = true where b.instance_id = p_instance_id and not b.seen;
    for v_run in
        select r.*, w.held from df_internal.waits_over(p_instance_id, p_decided) as w
        join df.runs as r on r.instance_id = p_instance_id and r.node_id = w.node_id and r.iteration = w.iteration
        order by w.place
    loop
        if v_run.held then
            v_more := true;
            continue;
        end if;
        if v_run.awaited_id is not null then
            select * into v_outcome
            from df_internal.await_outcome(p_instance_id, v_run.node_id, v_run.awaited_id, v_run.due_at, v_run.submitted_by);
        elsif v_run.signal_name is not null then
            select * into v_outcome
            from df_internal.signal_outcome(p_instance_id, v_run.node_id, v_run.signal_name, v_run.due_at);
        else
            select n.node_type, n.query into v_type, v_config from df.nodes as n
            where n.instance_id = p_instance_id and n.id = v_run.node_id;
            select true as done, null::text as error,
                   case when v_type = 'WAIT_SCHEDULE' then '{"scheduled": true}'
                        else format('{"slept": true, "seconds": %s}', v_config) end as result
            into v_outcome;
        end if;
        if v_outcome.done then
            v_error := case when v_outcome.error is not null then jsonb_build_object('message', v_outcome.error) end;
            update df.runs as r
            set status = case when v_error is null then 'completed' else 'failed' end, finished_at = df.clock(),
                result = v_outcome.result::json, error = v_error
            where r.instance_id = p_instance_id and r.node_id = v_run.node_id and r.iteration = v_run.iteration;
            perform df_internal.show_leaf(p_instance_id, v_run.node_id, v_outcome.result, v_error);
        end if;
    end loop;
    return (
        select json_build_object(
            'wakes', v_wakes, 'more', v_more, 'now', df.clock(),
            'cancel', (select b.payload from df.inbox as b where b.instance_id = p_instance_id and b.kind = 'cancel'
                       order by b.id limit 1),
            'runs', coalesce((
                select json_agg(json_build_object(
                    'node_id', r.node_id, 'iteration', r.iteration, 'status', r.status, 'result', r.result::text,
                    'columns', r.columns::text, 'error', r.error, 'started_at', r.started_at, 'finished_at', r.finished_at, 'due_at', r.due_at,
                    'awaited_id', r.awaited_id
                ))
                from df.runs as r where r.instance_id = p_instance_id
            ), '[]')
        )
    );
end $$;
comment on function df_internal.worker_settle(text, uuid, boolean) is
    'Finishes the waits that are over, then returns all that is known of a leased instance. more: some are held until a race is decided; settle again.';

create function df_internal.worker_fail(
    p_instance_id text, p_token uuid, p_node_id text, p_iteration integer[], p_error jsonb, p_query text,
    p_attempts integer, p_elapsed_seconds double precision
) returns timestamptz
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform df_internal.fence(p_instance_id, p_token);
    return df_internal.checkpoint(
        p_instance_id, p_node_id, p_iteration, null, p_error, p_query, p_attempts,
        df.clock() - make_interval(secs => p_elapsed_seconds)
    );
end $$;
comment on function df_internal.worker_fail(text, uuid, text, integer[], jsonb, text, integer, double precision) is
    'Records that a step has failed and is not tried again; its own transaction has been rolled back.';

create function df_internal.worker_record(
    p_instance_id text, p_token uuid, p_node_id text, p_iteration integer[], p_result text, p_query text,
    p_attempts integer, p_elapsed_seconds double precision, p_columns json default null
) returns timestamptz
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform df_internal.fence(p_instance_id, p_token);
    return df_internal.checkpoint(
        p_instance_id, p_node_id, p_iteration, p_result, null, p_query, p_attempts,
        df.clock() - make_interval(secs => p_elapsed_seconds), p_columns
    );
end $$;
comment on function df_internal.worker_record(text, uuid, text, integer[], text, text, integer, double precision, json) is
    'Records the result of a step whose effects are not part of this transaction: at least once, not exactly once.';

create function df_internal.worker_run(p_instance_id text, p_token uuid, p_node_id text, p_iteration integer[])
returns table (status text, result text, error jsonb, finished_at timestamptz, columns text)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform df_internal.fence(p_instance_id, p_token);
    return query
        select r.status, r.result::text, r.error, r.finished_at, r.columns::text from df.runs as r
        where r.instance_id = p_instance_id and r.node_id = p_node_id and r.iteration = p_iteration;
end $$;
comment on function df_internal.worker_run(text, uuid, text, integer[]) is
    'One node-run as recorded. The worker asks for it where it does not trust what the step''s session returned.';

create function df_internal.worker_shown(p_instance_id text, p_token uuid, p_node_id text, p_iteration integer[]) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform df_internal.fence(p_instance_id, p_token);
    update df.queue as q set attempts = 1 where q.instance_id = p_instance_id and q.attempts > 1;
    perform df_internal.show_leaf(r.instance_id, r.node_id, r.result::text, r.error) from df.runs as r
    where r.instance_id = p_instance_id and r.node_id = p_node_id and r.iteration = p_iteration;
end $$;
comment on function df_internal.worker_shown(text, uuid, text, integer[]) is
    'After a step whose transaction was not read committed: what checkpoint does for people who watch, and for the count of leases.';

create function df_internal.may_request(p_role regrole, p_node_type text) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(has_function_privilege(
        p_role::oid,
        case p_node_type
            when 'HTTP' then 'df.http(text, text, text, jsonb, integer)'
            when 'HTTP_MULTIPART' then 'df.http_multipart(text, text, jsonb, jsonb, integer)'
        end::regprocedure::oid,
        'execute'
    ), false)
$$;
comment on function df_internal.may_request(regrole, text) is
    'Whether a role may have HTTP steps of this type: whether it may call the function that builds them.';

create function df_internal.worker_request(
    p_instance_id text, p_token uuid, p_node_id text, p_iteration integer[], p_secrets text[]
) returns json
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_node record;
    v_attempts integer;
begin
    perform df_internal.fence(p_instance_id, p_token);
    perform from df.runs as r
    where r.instance_id = p_instance_id and r.node_id = p_node_id and r.iteration = p_iteration;
    if found then
        raise exception 'Node % of instance % has run already', p_node_id, p_instance_id using errcode = 'PWR02';
    end if;
    perform from df.inbox as b where b.instance_id = p_instance_id and b.kind = 'cancel' and b.consumed_by is null;
    if found then
        raise exception 'Instance % is to be cancelled', p_instance_id using errcode = 'PWR05';
    end if;
    select n.submitted_by, n.node_type, n.status, n.status_details into v_node from df.nodes as n
    where n.instance_id = p_instance_id and n.id = p_node_id;
    if not df_internal.may_request(v_node.submitted_by, v_node.node_type) then
        return json_build_object('allowed', false, 'attempts', 1, 'secrets', '{}'::json);
    end if;
    -- A node that is still shown as running was begun by a worker that did not finish it.
    v_attempts := case
        when v_node.status = 'running' and v_node.status_details -> 'iteration' = to_jsonb(p_iteration)
            then coalesce((v_node.status_details ->> 'attempts')::integer, 0)
        else 0
    end + 1;
    update df.nodes as n
    set status = 'running', result = null, error = null, updated_at = df.clock(),
        status_details = coalesce(n.status_details, '{}')
            || jsonb_build_object('iteration', p_iteration, 'attempts', v_attempts)
    where n.instance_id = p_instance_id and n.id = p_node_id;
    return json_build_object(
        'allowed', true, 'attempts', v_attempts,
        'secrets', (
            select coalesce(json_object_agg(s.name, s.value), '{}')
            from (select distinct on (t.name) t.name, t.value from df.secrets as t
                  where t.owner = v_node.submitted_by and t.name = any (p_secrets) order by t.name, t.id desc) as s
            where s.value is not null
        )
    );
end $$;
comment on function df_internal.worker_request(text, uuid, text, integer[], text[]) is
    'Before an HTTP request is made: whether the role may make it, the number of this attempt, and the secrets it names.';

create function df_internal.worker_cancelled(p_instance_ids text[]) returns text[]
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(array_agg(distinct b.instance_id), '{}') from df.inbox as b
    where b.instance_id = any (p_instance_ids) and b.kind = 'cancel' and b.consumed_by is null
$$;
comment on function df_internal.worker_cancelled(text[]) is 'Which of these instances are to be cancelled; the worker then interrupts their running steps.';

create function df_internal.cancel_awaited_child(p_instance_id text, p_node_id text, p_awaited_id text) returns void
language sql
set search_path = pg_catalog, pg_temp
as $$
    insert into df.inbox (instance_id, kind, name, payload)
    select i.id, 'cancel', p_instance_id, to_json('its parent ' || p_instance_id || ' no longer waits'::text)
    from df.instances as i, df.nodes as n
    where i.id = p_awaited_id and i.parent_instance_id = p_instance_id and i.status in ('pending', 'running')
      and n.instance_id = p_instance_id and n.id = p_node_id and df_internal.as_jsonb(n.query) ->> 'on_cancel' = 'cancel'
$$;
comment on function df_internal.cancel_awaited_child(text, text, text) is
    'Cancels the child that a cancelled wait awaited, if its df.call_child says on_cancel => cancel.';

create function df_internal.end_lost_branch(p_instance_id text, p_lost text[], p_waits jsonb) returns void
language sql
set search_path = pg_catalog, pg_temp
as $$
    select df_internal.cancel_awaited_child(r.instance_id, r.node_id, r.awaited_id)
    from df.runs as r, jsonb_to_recordset(p_waits) as s (node_id text, iteration jsonb)
    where r.instance_id = p_instance_id and r.node_id = s.node_id and r.status = 'waiting' and r.awaited_id is not null
      and to_jsonb(r.iteration) = s.iteration;
    update df.runs as r set status = 'cancelled', finished_at = df.clock()
    from jsonb_to_recordset(p_waits) as s (node_id text, iteration jsonb)
    where r.instance_id = p_instance_id and r.node_id = s.node_id and r.status = 'waiting'
      and to_jsonb(r.iteration) = s.iteration;
    -- Signals go back to their place in the inbox, and wake the instance: another wait may want them. Those that a loop
    -- in the branch took in turns that are over went on to that loop's next turn; they are gone with their turn.
    with returned as (
        update df.inbox as b set consumed_by = null, seen = false from (
            select c.id, c.consumed_by from df.inbox as c
            where c.instance_id = p_instance_id and c.kind = 'signal' and c.consumed_by = any (p_lost)
        ) as taken
        where b.id = taken.id
        returning taken.consumed_by as node_id
    )
    update df.runs as r set status = 'cancelled', result = null from returned as t
    where r.instance_id = p_instance_id and r.node_id = t.node_id and r.status = 'completed';
    update df.nodes as n set status = 'cancelled', result = null, updated_at = df.clock()
    where n.instance_id = p_instance_id and n.id = any (p_lost) and (
        n.status = 'running'
        or n.status = 'completed' and n.node_type = 'SIGNAL' and exists (
            select from df.runs as r where r.instance_id = p_instance_id and r.node_id = n.id and r.status = 'cancelled'
        )
    );
$$;
comment on function df_internal.end_lost_branch(text, text[], jsonb) is
    'The branch that has lost a race: its waits are cancelled, the signals it took go back to the inbox, and nothing of it is shown as running.';

create function df_internal.worker_decide(
    p_instance_id text, p_token uuid, p_node_id text, p_iteration integer[], p_result text, p_final boolean,
    p_forget jsonb, p_abandoned jsonb, p_lost text[]
) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform df_internal.fence(p_instance_id, p_token);
    insert into df.runs (instance_id, node_id, iteration, status, result, started_at, finished_at, submitted_by)
    select p_instance_id, p_node_id, p_iteration, 'completed', p_result::json, df.clock(), df.clock(), i.submitted_by
    from df.instances as i where i.id = p_instance_id
    on conflict (instance_id, node_id, iteration) do update
    set result = excluded.result, finished_at = excluded.finished_at
    where not p_final;
    -- A loop keeps the runs of its latest turn only, so its history does not grow.
    delete from df.runs as r using jsonb_to_recordset(p_forget) as s (node_id text, iteration jsonb)
    where r.instance_id = p_instance_id and r.node_id = s.node_id and to_jsonb(r.iteration) = s.iteration;
    delete from df.inbox as b using jsonb_to_recordset(p_forget) as s (node_id text)
    where b.instance_id = p_instance_id and b.consumed_by = s.node_id;
    -- In the same transaction: a signal is with a branch that goes on, or in the inbox.
    if p_lost <> '{}' then
        perform df_internal.end_lost_branch(p_instance_id, p_lost, p_abandoned);
    end if;
end $$;
comment on function df_internal.worker_decide(text, uuid, text, integer[], text, boolean, jsonb, jsonb, text[]) is
    'Records which branch won a race (p_final) and ends the other one, or in which turn a loop is and removes the turn before.';

create function df_internal.show_nodes(p_instance_id text, p_nodes jsonb) returns void
language sql
set search_path = pg_catalog, pg_temp
as $$
    update df.nodes as n
    set status = s.status, updated_at = df.clock(), error = s.error, result = s.shown
    from (
        select r.id, r.status, r.error,
               case when r.status in ('completed', 'failed')
                    then coalesce(df_internal.as_jsonb(r.result), to_jsonb(r.error)) end as shown
        from jsonb_to_recordset(p_nodes) as r (id text, status text, result text, error text)
    ) as s
    where n.instance_id = p_instance_id and n.id = s.id
      and (n.status, n.error, n.result) is distinct from (s.status, s.error, s.shown)
$$;
comment on function df_internal.show_nodes(text, jsonb) is
    'Writes the state of nodes with children to df.nodes. Nothing depends on it: it follows from df.runs.';

create function df_internal.worker_park(
    p_instance_id text, p_token uuid, p_wakes bigint, p_nodes jsonb, p_delay_seconds double precision default null
) returns boolean
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_parked boolean;
begin
    perform df_internal.fence(p_instance_id, p_token);
    update df.queue as q
    set ready_at = least(df_internal.seconds_from_now(p_delay_seconds), coalesce((
            select min(r.due_at) from df.runs as r where r.instance_id = p_instance_id and r.status = 'waiting'
        ), 'infinity')),
        leased_until = '-infinity', token = null, worker = null, attempts = 0
    where q.instance_id = p_instance_id and q.token = p_token and q.wakes = p_wakes;
    v_parked := found;
    perform df_internal.show_nodes(p_instance_id, p_nodes);
    return v_parked;
end $$;
comment on function df_internal.worker_park(text, uuid, bigint, jsonb, double precision) is
    'Gives the lease back until the first due time, the delay or a wake-up. False: a wake-up came first, so settle again.';

create function df_internal.worker_release(p_instance_id text, p_token uuid) returns void
language sql security definer
set search_path = pg_catalog, pg_temp
as $$
    update df.queue as q set leased_until = '-infinity', token = null, worker = null, ready_at = least(q.ready_at, df.clock()),
        attempts = greatest(q.attempts - 1, 0)
    where q.instance_id = p_instance_id and q.token = p_token
$$;
comment on function df_internal.worker_release(text, uuid) is 'Gives the lease back before the work is done, so that another worker can continue.';

create function df_internal.worker_defer(
    p_instance_id text, p_token uuid, p_delay_seconds double precision, p_attempts integer default 0
) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    -- A new token that no worker knows: nobody takes the instance until the lease ends, and wake-ups are kept.
    update df.queue as q
    set leased_until = df_internal.seconds_from_now(p_delay_seconds), token = gen_random_uuid(), worker = null,
        attempts = greatest(q.attempts - 1, p_attempts)
    where q.instance_id = p_instance_id and q.token = p_token;
    if not found then
        raise exception 'The lease on instance % is lost', p_instance_id using errcode = 'PWR01';
    end if;
end $$;
comment on function df_internal.worker_defer(text, uuid, double precision, integer) is
    'Gives the lease back and defers the instance, because the work cannot be done now. It does not count as an attempt; p_attempts: the count is at least this afterwards.';

create function df_internal.worker_finish(
    p_instance_id text, p_token uuid, p_status text, p_result text, p_error jsonb, p_nodes jsonb
) returns text
language plpgsql security definer
set search_path = pg_catalog, pg_temp
-- A lock that a user has on a row must not block a worker: it comes back to this instance a little later.
set lock_timeout = '250ms'
as $$
declare
    v_status text := p_status;
    v_reason text;
begin
    delete from df.queue as q where q.instance_id = p_instance_id and q.token = p_token;
    if not found then
        raise exception 'The lease on instance % is lost', p_instance_id using errcode = 'PWR01';
    end if;
    perform from df.instances as i where i.id = p_instance_id for no key update;
    -- A cancel committed before this point wins; one that comes later waits for this commit (mark_cancel_after_end).
    select b.payload #>> '{}' into v_reason from df.inbox as b
    where b.instance_id = p_instance_id and b.kind = 'cancel' order by b.id limit 1;
    if found then
        v_status := 'cancelled';
    end if;
    perform df_internal.show_nodes(p_instance_id, p_nodes);
    -- Whatever was shown as running has not come to an end of its own.
    update df.nodes as n set status = 'cancelled', result = null, updated_at = df.clock()
    where n.instance_id = p_instance_id and n.status = 'running';
    perform df_internal.cancel_awaited_child(r.instance_id, r.node_id, r.awaited_id) from df.runs as r
    where r.instance_id = p_instance_id and r.status = 'waiting' and r.awaited_id is not null;
    update df.runs as r set status = 'cancelled', finished_at = df.clock()
    where r.instance_id = p_instance_id and r.status = 'waiting';
    update df.inbox as b set seen = true where b.instance_id = p_instance_id and not b.seen;
    update df.instances as i
    set status = v_status, updated_at = df.clock(), completed_at = df.clock(),
        result = case when v_status = 'completed' then p_result::json end,
        error = case v_status when 'failed' then p_error
                              when 'cancelled' then jsonb_build_object('message', 'canceled: ' || coalesce(v_reason, '')) end
    where i.id = p_instance_id;
    -- Instances that await this one are due at once, in the same transaction.
    perform from df.queue as q
    where q.instance_id in (select r.instance_id from df.runs as r where r.awaited_id = p_instance_id and r.status = 'waiting')
    order by q.instance_id for no key update;
    update df.queue as q set wakes = q.wakes + 1, ready_at = least(q.ready_at, df.clock())
    where q.instance_id in (select r.instance_id from df.runs as r where r.awaited_id = p_instance_id and r.status = 'waiting');
    if found then
        perform pg_notify('pgweave', '');
    end if;
    return v_status;
end $$;
comment on function df_internal.worker_finish(text, uuid, text, text, jsonb, jsonb) is
    'Ends an instance and wakes the instances that await it. Returns the status it ended with.';

create function df.prune(p_limit integer default 100) returns bigint
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    v_before timestamptz := df.clock() - make_interval(days => df_internal.setting('retention_days')::integer);
    v_before_id text := '';
    v_surplus record;
    v_ids text[];
begin
    -- The newest instance beyond the number that is kept.
    select i.completed_at, i.id into v_surplus from df.instances as i
    where i.completed_at is not null order by i.completed_at desc, i.id desc
    offset df_internal.setting('retention_instances') limit 1;
    if v_surplus.completed_at >= v_before then
        v_before := v_surplus.completed_at;
        v_before_id := v_surplus.id;
    end if;
    -- SKIP LOCKED: an instance whose end is just being read (await_outcome) stays for this time.
    select array_agg(d.id) into v_ids from (
        select i.id from df.instances as i
        -- The first condition lets the partial index on completed_at be used.
        where i.completed_at <= v_before and (i.completed_at, i.id) <= (v_before, v_before_id)
          -- A live instance waits for its result, or has started it and may still read it.
          and not exists (select from df.runs as r where r.awaited_id = i.id and r.status = 'waiting')
          and not exists (select from df.queue as q where q.instance_id = i.parent_instance_id)
        order by i.completed_at, i.id limit p_limit
        for update of i skip locked
    ) as d;
    delete from df.runs as r where r.instance_id = any (v_ids);
    delete from df.inbox as b where b.instance_id = any (v_ids);
    delete from df.nodes as n where n.instance_id = any (v_ids);
    delete from df.instances as i where i.id = any (v_ids);
    return coalesce(cardinality(v_ids), 0);
end $$;
comment on function df.prune(integer) is
    'Removes ended instances, the oldest first: those older than retention_days and those beyond the newest retention_instances. Kept are those that a live instance waits for or has started. Returns how many; so many at a time.';

-- Watching: lists, and the inside of one instance. Everything here shows the caller's rows only, but for df.metrics.
--
-- What the rows say and what people ask differ: a node of the branch that was not taken stays 'pending' in df.nodes, and
-- a node of an earlier turn of a loop still shows that turn. df_internal.node_states infers the rest.

-- Columns and not a row of df.instances: PostgreSQL refuses to alter a table whose row type a function takes.
create function df_internal.shown_output(p_result json, p_error jsonb) returns text
language sql stable parallel safe
return coalesce(p_result::text, p_error ->> 'message');
comment on function df_internal.shown_output(json, jsonb) is 'Result of a completed instance, message of any other that has ended.';

create function df_internal.current_turn(p_instance_id text, p_root_node text) returns bigint
language sql stable parallel safe
return coalesce((
    select (r.result ->> 'turn')::bigint
    from df.runs as r join df.nodes as n on n.instance_id = r.instance_id and n.id = r.node_id and n.node_type = 'LOOP'
    where r.instance_id = p_instance_id and r.node_id = p_root_node and r.iteration = '{}'
), 1);
comment on function df_internal.current_turn(text, text) is 'Which turn an instance is in if its root is a loop; 1 for any other.';

create function df_internal.check_limit(p_limit integer) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if coalesce(p_limit, 0) < 1 then
        raise exception 'limit_count must be at least 1' using errcode = 'invalid_parameter_value';
    end if;
    if p_limit > df_internal.setting('list_instances_max_limit') then
        raise exception 'df.list_instances: limit_count (%) exceeds list_instances_max_limit (%); read further with after_cursor',
            p_limit, df_internal.setting('list_instances_max_limit') using errcode = 'invalid_parameter_value';
    end if;
end $$;
comment on function df_internal.check_limit(integer) is 'An error unless the number is at least 1 and at most list_instances_max_limit.';

create function df_internal.stored_statuses(p_status text) returns text[]
language sql immutable parallel safe
return case
    when p_status is null then array['pending', 'running', 'completed', 'failed', 'cancelled']
    when p_status = 'cancelled' then array['cancelled', 'pending', 'running']
    else array[p_status]
end;
comment on function df_internal.stored_statuses(text) is
    'The stored statuses of instances that people see in this status (null: in any), for a condition that an index can use.';

create function df_internal.cursor_after(p_created_at timestamptz, p_id text) returns text
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
    select encode(convert_to(
        'v1|' || to_char(p_created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US') || '+00|' || p_id, 'UTF8'
    ), 'hex')
$$;
comment on function df_internal.cursor_after(timestamptz, text) is 'Where a page of df.list_instances ends, as the text that asks for the next one.';

create function df_internal.read_cursor(p_cursor text, out created_at timestamptz, out id text)
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    v_parts text[];
begin
    if length(p_cursor) <= 512 and p_cursor ~ '^([0-9a-f][0-9a-f])+$' then
        v_parts := regexp_match(
            convert_from(decode(p_cursor, 'hex'), 'UTF8'),
            E'^v1\\|(\\d{4,6}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{6}\\+00)\\|([0-9a-f]{8})$'
        );
        created_at := v_parts[1]::timestamptz;
        id := v_parts[2];
    end if;
    if id is null then
        raise exception 'df.list_instances: invalid after_cursor' using errcode = 'invalid_parameter_value';
    end if;
exception when character_not_in_repertoire or datetime_field_overflow or invalid_datetime_format then
    raise exception 'df.list_instances: invalid after_cursor' using errcode = 'invalid_parameter_value';
end $$;
comment on function df_internal.read_cursor(text) is 'What df_internal.cursor_after wrote; an error for anything else.';

create function df.list_instances(status_filter text default null, limit_count integer default 100)
returns table (
    instance_id text, label text, function_name text, status text, execution_count bigint, output text
)
language plpgsql stable
set search_path = pg_catalog, pg_temp
set jit = off
as $$
begin
    perform df_internal.check_limit(limit_count);
    return query
        select i.id::text, i.label, 'df.start'::text, df_internal.shown_status(i.id, i.status),
               df_internal.current_turn(i.id, i.root_node), df_internal.shown_output(i.result, i.error)
        from df.instances as i
        where i.status = any (df_internal.stored_statuses(status_filter))
          and (status_filter is null or df_internal.shown_status(i.id, i.status) = status_filter)
        order by i.created_at desc, i.id limit limit_count;
end $$;
comment on function df.list_instances(text, integer) is 'The newest instances first, of one status or all.';

create function df.list_instances(status_filter text, limit_count integer, label_filter text, after_cursor text default null)
returns table (
    instance_id text, label text, function_name text, status text, execution_count bigint, output text,
    created_at timestamptz, completed_at timestamptz, next_cursor text
)
language plpgsql stable
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    v_after record;
begin
    perform df_internal.check_limit(limit_count);
    select null::timestamptz as created_at, null::text as id into v_after;
    if after_cursor is not null then
        select * into v_after from df_internal.read_cursor(after_cursor);
    end if;
    return query
        with found as (
            -- One more than asked for tells whether there is another page.
            select i.id, i.label, i.status, i.root_node, i.result, i.error, i.created_at, i.completed_at,
                   row_number() over (order by i.created_at desc, i.id) as place
            from df.instances as i
            where i.status = any (df_internal.stored_statuses(status_filter))
              and (status_filter is null or df_internal.shown_status(i.id, i.status) = status_filter)
              and (label_filter is null or i.label = label_filter)
              and (v_after.created_at is null
                   or (i.created_at <= v_after.created_at and (i.created_at < v_after.created_at or i.id > v_after.id)))
            order by i.created_at desc, i.id limit limit_count + 1
        ),
        page as (select f.* from found as f where f.place <= limit_count)
        select
            p.id::text, p.label, 'df.start'::text, df_internal.shown_status(p.id, p.status),
            df_internal.current_turn(p.id, p.root_node), df_internal.shown_output(p.result, p.error), p.created_at,
            p.completed_at,
            case when (select count(*) from found) > limit_count
                then (select df_internal.cursor_after(l.created_at, l.id) from page as l order by l.place desc limit 1)
            end
        from page as p order by p.place;
end $$;
comment on function df.list_instances(text, integer, text, text) is
    'A page of instances, the newest first, of one status and label or all. next_cursor, the same on every row, asks for the next page; null: this is the last.';

create function df.instance_info(instance_id text) returns table (
    instance_id text, label text, function_name text, function_version text, current_execution_id bigint, status text,
    output text
)
language sql stable
set search_path = pg_catalog, pg_temp
set jit = off
as $$
    select i.id, i.label, 'df.start', i.format::text, df_internal.current_turn(i.id, i.root_node),
           df_internal.shown_status(i.id, i.status), df_internal.shown_output(i.result, i.error)
    from df.instances as i where i.id = $1
$$;
comment on function df.instance_info(text) is 'One instance: status and what it came to. No row for an unknown id.';

create function df.instance_executions(instance_id text, limit_count integer default 5) returns table (
    execution_id bigint, status text, event_count bigint, duration_ms bigint, output text
)
language plpgsql stable
set search_path = pg_catalog, pg_temp
set jit = off
as $$
begin
    if coalesce(limit_count, 0) < 1 then
        raise exception 'limit_count must be at least 1' using errcode = 'invalid_parameter_value';
    end if;
    return query
        select
            df_internal.current_turn(i.id, i.root_node), initcap(df_internal.shown_status(i.id, i.status)),
            (select count(*) from df.runs as r where r.instance_id = i.id),
            coalesce((extract(epoch from i.completed_at - i.created_at) * 1000)::bigint, 0),
            df_internal.shown_output(i.result, i.error)
        from df.instances as i where i.id = instance_executions.instance_id;
end $$;
comment on function df.instance_executions(text, integer) is
    'The present turn of an instance. Earlier turns leave no history, so there is one row at most.';

create function df.metrics() returns table (
    total_instances bigint, running_instances bigint, completed_instances bigint, failed_instances bigint,
    total_executions bigint, total_events bigint
)
language sql stable security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
    select
        count(*), count(*) filter (where i.status = 'running'), count(*) filter (where i.status = 'completed'),
        count(*) filter (where i.status = 'failed'),
        -- One execution each, and one more for every further turn. Only roots that are loops have those: to look for the
        -- turn of every instance would take minutes where a million are kept.
        count(*) + coalesce((
            select sum(df_internal.current_turn(n.instance_id, n.id) - 1) from df.nodes as n
            where n.node_type = 'LOOP' and (n.instance_id, n.id) in (select o.id, o.root_node from df.instances as o)
        ), 0)::bigint,
        (select count(*) from df.runs)
    from df.instances as i
$$;
comment on function df.metrics() is 'Counts over the instances of all roles. Needs df.grant_usage(.., with_grant => true).';

create function df_internal.node_states(p_instance_id text) returns table (
    node_id text, parent_id text, iteration integer[], execution_id text, inferred_status text, from_ancestor_id text
)
language sql stable
set search_path = pg_catalog, pg_temp
set jit = off
as $$
    with recursive node as materialized (
        select n.id, n.node_type, n.status, n.updated_at, n.status_details -> 'iteration' as shown, e.parent_id,
               p.node_type as parent_type, n.node_type = 'LOOP' as loops, n.left_node is not null as has_children
        from df.nodes as n
        left join df.edges as e on e.instance_id = n.instance_id and e.child_id = n.id
        left join df.nodes as p on p.instance_id = n.instance_id and p.id = e.parent_id
        where n.instance_id = p_instance_id
    ),
    run as materialized (
        select r.node_id, r.iteration, r.status, r.finished_at, (r.result ->> 'turn')::integer as turn
        from df.runs as r
        -- What a step returned may have a column "turn", too.
        join node as n on n.id = r.node_id and n.loops
        where r.instance_id = p_instance_id
        union all
        select r.node_id, r.iteration, r.status, r.finished_at, null
        from df.runs as r join node as n on n.id = r.node_id and not n.loops
        where r.instance_id = p_instance_id
    ),
    -- From the root down: in which turn each node is now. inside: the same for its children. since: when that turn began.
    place (id, parent_id, iteration, inside, since, execution_id, ancestors) as (
        select n.id, n.parent_id, '{}'::integer[],
               case when n.loops then array[coalesce(r.turn, 1)] else '{}' end,
               case when n.loops then r.finished_at end,
               p_instance_id || '::' || case when n.loops then coalesce(r.turn, 1) else 1 end,
               array[n.id::text]
        from df.instances as i
        join node as n on n.id = i.root_node
        left join run as r on r.node_id = n.id and r.iteration = '{}'
        where i.id = p_instance_id
        union all
        select n.id, n.parent_id, p.inside,
               case when n.loops then p.inside || coalesce(r.turn, 1) else p.inside end,
               case when n.loops then greatest(r.finished_at, p.since) else p.since end,
               case when n.loops or n.parent_type in ('JOIN', 'RACE')
                    then p.execution_id || '::' || n.id || '::' || case when n.loops then coalesce(r.turn, 1) else 1 end
                    else p.execution_id end,
               p.ancestors || n.id::text
        from place as p
        join node as n on n.parent_id = p.id
        left join run as r on r.node_id = n.id and r.iteration = p.inside
    ),
    -- Nodes with anything below them that was reached in the present turn. A break has no run; it shows when it was.
    reached as materialized (
        select distinct a.id
        from place as p
        join node as n on n.id = p.id
        left join run as r on r.node_id = p.id and r.iteration = p.iteration
        cross join unnest(p.ancestors) as a (id)
        where r.node_id is not null or (n.node_type = 'BREAK' and n.status = 'completed' and n.updated_at >= p.since)
    ),
    present as materialized (
        select
            n.id, p.parent_id, p.iteration, p.execution_id,
            case
                -- A leaf is what its run of this turn is; before the run is written, what the worker shows.
                when not n.has_children and n.node_type <> 'BREAK' then case
                    when r.status in ('completed', 'failed') then r.status
                    when r.status = 'waiting' then 'running'
                    when r.status is null and n.status = 'running'
                         and coalesce(n.shown = to_jsonb(p.iteration), 1 = all (p.iteration)) then 'running'
                    else 'pending'
                end
                -- Nodes with children are as shown last, unless that was in an earlier turn.
                when n.status in ('completed', 'failed')
                     and (1 = all (p.iteration) or n.id in (select id from reached)
                          or (n.node_type = 'BREAK' and n.updated_at >= p.since)) then n.status
                when n.id in (select id from reached) or (n.status = 'running' and 1 = all (p.iteration)) then 'running'
                else 'pending'
            end as status
        from place as p
        join node as n on n.id = p.id
        left join run as r on r.node_id = p.id and r.iteration = p.iteration
    ),
    -- From the root down again: below a node that has ended nothing runs any more.
    judged (id, ended_id) as (
        select p.id, case when p.status in ('completed', 'failed') then p.id end from present as p where p.parent_id is null
        union all
        select p.id, case when p.status in ('completed', 'failed') then p.id else j.ended_id end
        from judged as j join present as p on p.parent_id = j.id
    )
    select
        p.id, p.parent_id, p.iteration, p.execution_id,
        case when p.status in ('completed', 'failed') then p.status
             when j.ended_id is not null or i.status in ('completed', 'failed', 'cancelled') then 'skipped'
             else p.status end,
        nullif(j.ended_id, p.id)
    from present as p
    join judged as j on j.id = p.id
    join df.instances as i on i.id = p_instance_id
$$;
comment on function df_internal.node_states(text) is
    'What each node of an instance is now: pending, running, completed, failed, or skipped because of an ancestor that has ended.';

create function df.instance_nodes(instance_id_param text) returns table (
    node_id text, node_type text, query text, result_name text, left_node text, right_node text, status text,
    result text, status_details text, inferred_status text, inferred_status_from_ancestor_id text,
    updated_at timestamptz
)
language sql stable
set search_path = pg_catalog, pg_temp
set jit = off
as $$
    select
        n.id, n.node_type, n.query, n.result_name, n.left_node, n.right_node, n.status, n.result::text,
        case when s.inferred_status in ('running', 'completed', 'failed')
             then (coalesce(n.status_details, '{}') || jsonb_build_object('execution_id', s.execution_id))::text end,
        coalesce(s.inferred_status, n.status), s.from_ancestor_id, n.updated_at
    from df.nodes as n left join df_internal.node_states(instance_id_param) as s on s.node_id = n.id
    where n.instance_id = instance_id_param
    order by n.ordinal
$$;
comment on function df.instance_nodes(text) is
    'The nodes of an instance in pre-order: as stored, and what they are by all that is known (inferred_status).';

create function df.instance_nodes(instance_id_param text, _last_n_executions integer) returns table (
    execution_id bigint, node_id text, node_type text, query text, result_name text, left_node text, right_node text,
    status text, result text, updated_at timestamptz
)
language sql stable
set search_path = pg_catalog, pg_temp
set jit = off
as $$
    select
        1, n.id, n.node_type, n.query, n.result_name, n.left_node, n.right_node, n.status, n.result::text, n.updated_at
    from df.nodes as n where n.instance_id = instance_id_param order by n.ordinal
$$;
comment on function df.instance_nodes(text, integer) is
    'The nodes of an instance as stored. For programs that know this form; the second argument has no effect.';

create function df.instance_runs(instance_id text) returns table (
    node_id text, node_type text, result_name text, iteration integer[], status text, started_at timestamptz,
    finished_at timestamptz, due_at timestamptz, attempts integer, sql text, result text, error text, sqlstate text,
    detail text, hint text, "position" integer, signal_name text, child_instance_ids text[]
)
language sql stable
set search_path = pg_catalog, pg_temp
set jit = off
as $$
    select
        r.node_id, n.node_type, n.result_name, r.iteration, r.status, r.started_at, r.finished_at,
        nullif(r.due_at, 'infinity'), r.attempts, r.query, r.result::text, r.error ->> 'message',
        r.error ->> 'sqlstate', r.error ->> 'detail', r.error ->> 'hint', (r.error ->> 'position')::integer,
        r.signal_name,
        case when r.awaited_id is not null then array[r.awaited_id]
             else array(select i.id::text from df.instances as i
                        where i.parent_instance_id = r.instance_id and i.parent_node_id = r.node_id order by i.created_at, i.id)
        end
    from df.runs as r join df.nodes as n on n.instance_id = r.instance_id and n.id = r.node_id
    where r.instance_id = $1 and n.left_node is null
    order by r.started_at, n.ordinal, r.iteration
$$;
comment on function df.instance_runs(text) is
    'What the steps of an instance did, in order: the SQL that ran, how often it was tried, from when to when, what came of it or what the server said, and the instances it started or waits for. Of a loop the latest turn.';

create function df.instance_family(instance_id text) returns table (
    instance_id text, generation integer, parent_instance_id text, parent_node_id text, label text, status text,
    created_at timestamptz, completed_at timestamptz
)
language sql stable
set search_path = pg_catalog, pg_temp
set jit = off
as $$
    with recursive family (id, generation) as (
        select i.id, 0 from df.instances as i where i.id = $1
        union all
        select i.id, f.generation + 1 from family as f join df.instances as i on i.parent_instance_id = f.id
    )
    select
        i.id, f.generation, i.parent_instance_id, i.parent_node_id, i.label, df_internal.shown_status(i.id, i.status),
        i.created_at, i.completed_at
    from family as f join df.instances as i on i.id = f.id
    order by f.generation, i.created_at, i.id
$$;
comment on function df.instance_family(text) is 'An instance and all that its steps started, parents before children.';

create function df.waiting(instance_id text default null) returns table (
    instance_id text, label text, node_id text, waits_for text, what text, since timestamptz, until timestamptz,
    release text
)
language sql stable
set search_path = pg_catalog, pg_temp
set jit = off
as $$
    with recursive wait as materialized (
        select r.instance_id, r.node_id, r.signal_name, r.awaited_id, r.started_at, nullif(r.due_at, 'infinity') as due_at,
               n.node_type, n.query, n.ordinal
        from df.runs as r join df.nodes as n on n.instance_id = r.instance_id and n.id = r.node_id
        where r.status = 'waiting'
    ),
    -- Who waits for an instance waits for what that one waits for. A union, since instances can wait in a circle.
    chain (id, awaited_id) as (
        select w.instance_id, w.awaited_id from wait as w where w.awaited_id is not null
        union
        select c.id, w.awaited_id from chain as c join wait as w on w.instance_id = c.awaited_id
        where w.awaited_id is not null
    )
    select
        w.instance_id, i.label, w.node_id, lower(w.node_type),
        coalesce(w.signal_name, w.awaited_id, case w.node_type
            when 'WAIT_SCHEDULE' then df_internal.config_of(w.query) ->> 'cron_expr'
            else w.query || ' seconds' end),
        w.started_at, w.due_at,
        (select format('SELECT df.signal(%L, %L, ''{}'')', s.instance_id, s.signal_name)
         from wait as s
         where s.signal_name is not null and (
             (s.instance_id = w.instance_id and s.node_id = w.node_id)
             or s.instance_id = w.awaited_id
             or s.instance_id in (select c.awaited_id from chain as c where c.id = w.awaited_id)
         )
         order by s.started_at, s.instance_id, s.ordinal limit 1)
    from wait as w join df.instances as i on i.id = w.instance_id
    where ($1 is null or w.instance_id = $1) and i.status in ('pending', 'running')
    union all
    select i.id, i.label, i.root_node, 'worker', null, i.created_at, null, null
    from df.instances as i where ($1 is null or i.id = $1) and i.status = 'pending'
    order by 6, 1, 3
$$;
comment on function df.waiting(text) is
    'What each live instance waits for, since when, until when, and the SQL that would release it; null where only time, or the end of an instance that waits for nobody, can.';

-- df.explain: a graph as an indented outline, the same that `pgweave compile --emit ascii` draws.

create function df_internal.called_child(p_node jsonb, out graph jsonb, out label text, out timeout_seconds text)
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    v_name constant text := p_node #>> '{left_node,result_name}';
    v_start constant text := p_node #>> '{left_node,query}';
    v_before constant text := 'SELECT df.start(convert_from(decode(''';
    v_after constant text := ''', ''hex''), ''UTF8''), ';
    v_wait constant jsonb := df_internal.config_of(p_node #>> '{right_node,query}');
    v_hex text;
begin
    if p_node ->> 'node_type' = 'THEN' and v_name like E'\\_\\_df\\_call\\_child\\_%' and starts_with(v_start, v_before)
       and p_node #>> '{right_node,node_type}' = 'AWAIT_INSTANCE'
       and v_wait ->> 'instance_id' = '$' || v_name || '.instance_id' then
        v_hex := substr(v_start, length(v_before) + 1, strpos(substr(v_start, length(v_before) + 1), '''') - 1);
        label := substring(
            substr(v_start, length(v_before || v_hex || v_after) + 1) from '^''((?:[^'']|'''')*)'', '
        );
        label := replace(label, '''''', '''');
        timeout_seconds := v_wait ->> 'timeout_seconds';
        graph := df_internal.ensure_durofut(convert_from(decode(v_hex, 'hex'), 'UTF8'))::jsonb;
    end if;
exception when data_exception then
    graph := null;
end $$;
comment on function df_internal.called_child(jsonb) is 'What df.call_child was given, read from what it made; graph is null if the node is something else.';

create function df_internal.node_text(p_node jsonb) returns text
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    v_type constant text := p_node ->> 'node_type';
    v_query constant text := p_node ->> 'query';
    v_config jsonb;
begin
    if v_type in ('SQL', 'THEN', 'IF', 'RACE') then
        return case v_type when 'SQL' then 'SQL: ' || df_internal.shorten(v_query, 50) else v_type end;
    elsif v_query ~ '^[0-9]+$' then  -- a pause: its text is the number of seconds
        return format('%s %ss', v_type, v_query);
    end if;
    v_config := df_internal.config_of(v_query);
    return case v_type
        when 'WAIT_SCHEDULE' then format('WAIT ''%s''', v_config ->> 'cron_expr')
        when 'SIGNAL' then format('SIGNAL ''%s''', v_config ->> 'signal_name')
        when 'AWAIT_INSTANCE' then format('AWAIT_INSTANCE ''%s''', v_config ->> 'instance_id')
        when 'HTTP' then format('HTTP %s %s', upper(v_config ->> 'method'), df_internal.shorten(v_config ->> 'url', 40))
        when 'HTTP_MULTIPART' then format('HTTP_MULTIPART %s %s', upper(v_config ->> 'method'), df_internal.shorten(v_config ->> 'url', 40))
        when 'LOOP' then case when coalesce(p_node -> 'condition_node', 'null') = 'null' then 'LOOP (infinite)' else 'LOOP (while)' end
        when 'BREAK' then 'BREAK' || coalesce(' ''' || df_internal.shorten(v_config ->> 'break_value', 20) || '''', '')
        when 'JOIN' then format('JOIN (%s)', 2 + jsonb_array_length(coalesce(nullif(p_node -> 'extra_nodes', 'null'), '[]')))
        else v_type
    end || coalesce(' (' || case when v_type in ('SIGNAL', 'AWAIT_INSTANCE') then v_config ->> 'timeout_seconds' end || 's)', '');
end $$;
comment on function df_internal.node_text(jsonb) is 'One node in the words of df.explain, without its name and status.';

create function df_internal.sections(p_node jsonb) returns table (place integer, title text, child jsonb, last boolean)
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    v_type constant text := p_node ->> 'node_type';
    v_called record;
begin
    if v_type = 'THEN' then
        select * into v_called from df_internal.called_child(p_node);
        if v_called.graph is not null then
            return query select 1, '↳ child:', v_called.graph, true;
            return;
        end if;
    end if;
    return query
        select c.place, c.title, c.child, c.last
        from (
            select 1, case v_type when 'IF' then '✓ then:' when 'LOOP' then '↻ body:' when 'THEN' then null else '║ branch 1:' end,
                   p_node -> 'left_node', v_type not in ('JOIN', 'RACE')
            union all
            select 2, case v_type when 'IF' then '✗ else:' when 'THEN' then null else '║ branch 2:' end, p_node -> 'right_node',
                   v_type <> 'JOIN' or jsonb_array_length(coalesce(nullif(p_node -> 'extra_nodes', 'null'), '[]')) = 0
            union all
            select case v_type when 'IF' then 0 else 3 end, case v_type when 'IF' then '? condition:' else '? while:' end,
                   p_node -> 'condition_node', true
            union all
            select 2 + e.rank::integer, format('║ branch %s:', 2 + e.rank), e.value,
                   e.rank = jsonb_array_length(p_node -> 'extra_nodes')
            from jsonb_array_elements(coalesce(nullif(p_node -> 'extra_nodes', 'null'), '[]')) with ordinality as e (value, rank)
        ) as c (place, title, child, last)
        where c.child is not null and c.child <> 'null';
end $$;
comment on function df_internal.sections(jsonb) is 'The children of a node, in the order in which df.explain shows them.';

create function df_internal.outline(p_graph jsonb) returns text
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
set jit = off
as $$
    -- connector: as given to a later step of a sequence, or what the place asks for. inner: what the node's own
    -- children begin with. A THEN has no line; its steps take its place.
    with recursive drawn (key, title, node, sequence, prefix, connector, inner_prefix, last) as (
        select array[]::integer[], null::text, p_graph, s.sequence, '', '', '    ', true
        from (select p_graph ->> 'node_type' = 'THEN' and (df_internal.called_child(p_graph)).graph is null) as s (sequence)
        union all
        select
            d.key || c.place, case when c.title is not null then d.inner_prefix || c.title end, c.child, s.sequence,
            p.prefix, p.connector,
            case when p.connector = '→ ' or p.prefix = '' or p.last then p.prefix || '    ' else p.prefix || '│   ' end,
            p.last
        from drawn as d
        cross join lateral df_internal.sections(d.node) as c
        cross join lateral (
            select c.child ->> 'node_type' = 'THEN' and (df_internal.called_child(c.child)).graph is null
        ) as s (sequence)
        cross join lateral (
            select case when d.sequence then d.prefix else d.inner_prefix || '  ' end,
                   case when d.sequence and c.place = 2 then '→ ' when d.sequence then d.connector else '' end,
                   case when d.sequence then d.last else c.last end
        ) as p (prefix, connector, last)
    ),
    line as (
        select d.key, l.place, l.line
        from drawn as d
        cross join lateral (
            select 1, d.title where d.title is not null
            union all
            select 2, concat(
                d.prefix, case when d.connector <> '' or d.prefix = '' then d.connector when d.last then '└─' else '├─' end,
                w.words,
                ' |=> ''' || (d.node ->> 'result_name') || '''',
                ' ' || (d.node ->> 'marker')
            )
            from (
                select case when c.graph is null then df_internal.node_text(d.node)
                            else concat('CALL_CHILD', ' ''' || c.label || '''', ' (' || c.timeout_seconds || 's)') end
                from df_internal.called_child(d.node) as c
            ) as w (words)
            where not d.sequence
        ) as l (place, line)
    ),
    split as (
        select part.line, row_number() over (order by l.key, l.place, part.rank) as number
        from line as l cross join lateral regexp_split_to_table(l.line, E'\n') with ordinality as part (line, rank)
    )
    select string_agg(rpad(s.line, w.width), E'\n' order by s.number)
    from split as s, (select max(length(line)) + 4 as width from split) as w
$$;
comment on function df_internal.outline(jsonb) is 'Draws a graph. Nodes may carry a "marker" to be shown behind them.';

create function df_internal.live_graph(p_instance_id text) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    v_node record;
    v_json text[];
    v_extra text[];
begin
    -- In reverse pre-order, so that children are written before their parent.
    for v_node in
        with held as materialized (
            select e.parent_id, array_agg(d.ordinal + 1 order by e.branch) as places,
                   array_agg(e.branch order by e.branch) as branches
            from df.edges as e join df.nodes as d on d.instance_id = e.instance_id and d.id = e.child_id
            where e.instance_id = p_instance_id group by e.parent_id
        )
        select n.ordinal + 1 as place, n.node_type, n.query, n.result_name,
               case s.inferred_status when 'completed' then '✓' when 'failed' then '✗' when 'running' then '⏳'
                                      when 'skipped' then '⊘' else '○' end as marker,
               h.places, h.branches
        from df.nodes as n
        left join df_internal.node_states(p_instance_id) as s on s.node_id = n.id
        left join held as h on h.parent_id = n.id
        where n.instance_id = p_instance_id order by n.ordinal desc
    loop
        if v_json is null then
            v_json := array_fill(null::text, array[v_node.place]);
        end if;
        -- Element by element: a query over the array would copy all of it, for every node.
        v_extra := '{}';
        for v_branch in 3..coalesce(cardinality(v_node.places), 0) loop
            if v_node.branches[v_branch] > 3 then
                v_extra := v_extra || v_json[v_node.places[v_branch]];
            end if;
        end loop;
        v_json[v_node.place] := left(df_internal.durofut(
            v_node.node_type,
            v_json[v_node.places[array_position(v_node.branches, 1)]],
            v_json[v_node.places[array_position(v_node.branches, 2)]],
            v_json[v_node.places[array_position(v_node.branches, 3)]],
            v_extra, v_node.query, v_node.result_name
        ), -1) || ',"marker":"' || v_node.marker || '"}';
    end loop;
    return v_json[1]::jsonb;
end $$;
comment on function df_internal.live_graph(text) is 'The graph of an instance as one tree, with markers of what each node is now.';

create function df_internal.explain_instance(p_instance_id text) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    v_instance record;
    v_status text;
begin
    select i.id, i.label, i.status, i.result, i.error into v_instance from df.instances as i where i.id = p_instance_id;
    if v_instance.id is null then
        return format('Instance ''%s'' not found', p_instance_id);
    end if;
    v_status := df_internal.shown_status(v_instance.id, v_instance.status);
    return concat(
        'Instance: ', v_instance.id, ' (' || v_instance.label || ')', E'\n',
        'Status:   ', case v_status when 'completed' then '✓' when 'running' then '⏳' when 'pending' then '○' else '✗' end,
        ' ', initcap(v_status), E'\n',
        'Output:   ' || df_internal.shorten(df_internal.shown_output(v_instance.result, v_instance.error), 60) || E'\n',
        E'\n', df_internal.outline(df_internal.live_graph(p_instance_id))
    );
end $$;
comment on function df_internal.explain_instance(text) is 'df.explain of an instance.';

create function df_internal.explain_graph(p_text text) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    v_problem text;
    v_detail text;
begin
    v_problem := 'Invalid durable function graph: ' || df_internal.graph_problem(p_text);
    return coalesce(v_problem, df_internal.outline(p_text::jsonb));
exception when invalid_text_representation or untranslatable_character or statement_too_complex then
    get stacked diagnostics v_detail = pg_exception_detail;
    return 'Failed to parse Durofut JSON: ' || coalesce(nullif(v_detail, ''), sqlerrm);
end $$;
comment on function df_internal.explain_graph(text) is 'df.explain of a graph.';

create function df_internal.explain_kind(p_input text) returns text
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
    select case
        when p_input ~ '^[0-9a-fA-F]{8}$' then 'instance'
        when p_input like '{%' then 'graph'
        -- An expression cannot begin with a verb, and a statement with nothing else: no marker needs to be searched for.
        when p_input ~* E'^(select|insert|update|delete|merge|with|values|table|create|alter|drop|call|do|truncate|grant|revoke|explain|vacuum|refresh|copy|set|lock|analyze)\\M'
            then 'statement'
        when p_input ~* E'^(''|\\$|\\(|@>|df\\.|e''|u&''|")' then 'expression'
        else 'unknown'
    end
$$;
comment on function df_internal.explain_kind(text) is 'What the input of df.explain is: instance, graph, statement, expression or unknown.';

create function df.explain(input text) returns text
language plpgsql strict
-- No search_path of its own: operators and functions of the expression are found as the caller finds them. Hence every
-- name below is qualified.
as $$
declare
    v_input constant pg_catalog.text := pg_catalog.btrim(input, E' \t\n\r;');
    v_kind constant pg_catalog.text := df_internal.explain_kind(v_input);
    v_graph pg_catalog.text;
begin
    if v_kind OPERATOR(pg_catalog.=) 'instance' then
        return df_internal.explain_instance(pg_catalog.lower(v_input));
    end if;
    if v_kind OPERATOR(pg_catalog.=) 'unknown' then
        return pg_catalog.concat(
            'Cannot explain input: ', v_input, E'\n',
            'Hint: pass the id of an instance, a workflow such as ''SELECT 1'' ~> ''SELECT 2'' in dollar quotes, its JSON, or a SQL statement.'
        );
    end if;
    v_graph := v_input;
    if v_kind OPERATOR(pg_catalog.=) 'expression' then
        begin
            execute pg_catalog.concat('select (', v_input, E'\n)::pg_catalog.text') into v_graph;
            -- Whatever functions in the expression did is undone: nothing is started, nothing is set.
            raise exception using errcode = 'PWR00';
        exception when sqlstate 'PWR00' then
            null;
        end;
        if v_graph is null then
            return 'Expression returned NULL';
        end if;
    end if;
    if df_internal.explain_kind(pg_catalog.ltrim(v_graph, E' \t\n\r')) OPERATOR(pg_catalog.<>) 'graph' then
        v_graph := df_internal.ensure_durofut(v_graph);
    end if;
    return df_internal.explain_graph(v_graph);
end $$;
comment on function df.explain(text) is
    'Draws a workflow without starting it, or an instance with the state of each node: ✓ completed, ✗ failed, ⏳ running, ○ pending, ⊘ skipped. The functions of an expression are called with the rights of the caller, and what they did is undone.';

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

insert into df.migrations (number, name, checksum)
values (1, '0001_schema', '71210383688bee9334cf2cf66a343f06676f490af92a972e42b03ab8e943f695');
commit;
