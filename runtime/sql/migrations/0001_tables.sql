-- What is stored, and the life of an instance.
--
--   df.start     writes one row of df.instances, one of df.nodes per node and, by trigger, one of df.queue, all in
--                the caller's transaction. Rolled back: it never existed. Committed: it will run.
--   a worker     leases the instance (df.queue), runs its steps one after the other and writes a row of df.runs for
--                each finished step, in the step's own transaction; what comes next is decided from df.runs alone.
--   waiting      is a row of df.runs with status 'waiting' and a due time, a signal name or an instance to wait for.
--                Nobody holds it: the instance is parked until its due time or until somebody wakes it.
--   the end      sets a terminal status for ever, deletes the queue row and wakes whoever awaits the instance.
--
-- Lock order, everywhere: df.queue (own row), df.instances, df.runs, df.nodes, df.queue (rows of waiting instances,
-- by instance id). A step holds its queue row FOR KEY SHARE, so that its own lease can be renewed beside it (an
-- update of other columns) while a take-over (FOR UPDATE SKIP LOCKED) has to pass it by.
--
-- One clock: df.clock(). Nothing compares a worker's time with the database's.
--
-- Functions with larger queries set jit = off: compiling them takes longer than running them, a hundredfold where the
-- server was built with LLVM (df.start on PostgreSQL 15 as Debian has it: 80 ms against 0.5).
--
-- And they are PL/pgSQL where they are called often: before version 18 PostgreSQL plans a SQL function at every call.
--
-- Who sees what: each role the rows of the instances it started, by row-level security, which binds the owner of the
-- schema too; a policy of its own lets the owner do the workers' half. People's functions run with people's rights.

comment on schema df is 'Durable SQL workflows: graphs, their runs, and the functions that build, start and watch them.';

create function df.clock() returns timestamptz
language plpgsql volatile parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    -- Anybody can set a setting; the login decides whether it counts.
    if coalesce(current_setting('pgweave.fake_now', true), '') <> ''
       and (select r.rolsuper from pg_roles as r where r.rolname = session_user) then
        return current_setting('pgweave.fake_now')::timestamptz;
    end if;
    return clock_timestamp();
end $$;
comment on function df.clock() is
    'The only clock: clock_timestamp(), unless the session of a superuser sets pgweave.fake_now (for tests).';

create function df.caller() returns regrole
language sql stable parallel safe
-- Bound to its objects when it is created: no search_path matters, and none has to be set at every call.
return quote_ident(current_user)::regrole;
comment on function df.caller() is 'The role whose rows the caller may see: current_user, as regrole.';

create function df.new_id() returns varchar
language sql volatile parallel safe
return right(replace(gen_random_uuid()::text, '-', ''), 8);
comment on function df.new_id() is 'A random id of an instance: eight lower-case hexadecimal digits.';


create table df.settings (
    name text primary key,
    value bigint not null,
    lowest bigint not null,
    highest bigint not null,
    standard bigint not null,
    description text not null,
    constraint settings_range_chk check (value between lowest and highest)
);
comment on table df.settings is
    'Limits and habits of this database. The owner of the schema changes them: UPDATE df.settings SET value = 50 WHERE name = ''max_label_bytes''.';
comment on column df.settings.name is 'What is set.';
comment on column df.settings.value is 'The value in force.';
comment on column df.settings.lowest is 'The smallest value that makes sense.';
comment on column df.settings.highest is 'The largest value that makes sense.';
comment on column df.settings.standard is 'The value it had when it was installed.';
comment on column df.settings.description is 'What the value means, with its unit.';
insert into df.settings (name, lowest, highest, standard, value, description)
select s.name, s.lowest, s.highest, s.standard, s.standard, s.description
from (values
    ('max_graph_bytes', 1000, 1000000000, 16000000, 'Largest graph that df.start takes, as JSON text in bytes.'),
    ('max_nodes', 1, 10000, 10000, 'Most nodes of a graph. It can be lowered.'),
    ('max_depth', 1, 256, 256, 'Most levels of a graph. It can be lowered.'),
    ('max_label_bytes', 1, 1000000, 1000, 'Longest label and longest idempotency key, in bytes.'),
    ('max_variable_bytes', 1, 100000000, 1000000, 'Most bytes that the variables of a role may have together.'),
    ('max_payload_bytes', 1, 100000000, 1000000, 'Largest payload of a signal, in bytes.'),
    ('max_signals', 1, 1000000000, 10000, 'Most signals that may wait to be taken in one instance.'),
    ('max_live_instances', 1, 1000000000, 10000, 'Most instances of one role that have not ended.'),
    ('list_instances_max_limit', 1, 1000000, 1000, 'Largest limit_count of df.list_instances.'),
    ('retention_days', 0, 36500, 30, 'Days after which an ended instance may be removed.'),
    ('retention_instances', 0, 1000000000, 10000, 'How many ended instances are kept at most.'),
    -- A superuser who installs the schema works alone on it, or knows what a superuser's workflow can do.
    ('superuser_instances', 0, 1, (select r.rolsuper::integer from pg_roles as r where r.rolname = current_user),
     '1: superusers may start workflows, whose steps then run as superuser. 0: they are refused.')
) as s (name, lowest, highest, standard, description);

create function df.setting(p_name text) returns bigint
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    return (select s.value from df.settings as s where s.name = p_name);
end $$;
comment on function df.setting(text) is 'The value in force of one setting.';

create table df.instances (
    id varchar(8) primary key default df.new_id()
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
    submitted_by regrole not null default df.caller(),
    database text,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    completed_at timestamptz,
    result json,
    error jsonb,
    variables jsonb not null default '{}',
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
comment on column df.instances.variables is 'df.vars of the submitting role at the moment of the start.';
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
    ordinal integer not null,
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
            'running',    -- begun, or waiting  -> completed | failed; in a loop's next turn pending again
            'completed',
            'failed'
        )),
    result jsonb,
    error text,
    submitted_by regrole not null default df.caller(),
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
comment on column df.nodes.ordinal is 'Position in pre-order, from 0: node, left, right, condition, further branches.';
comment on column df.nodes.node_type is 'What kind of node it is; df.node_types() lists them.';
comment on column df.nodes.query is 'SQL text, or the configuration as JSON, by node_type.';
comment on column df.nodes.result_name is 'Later steps read the result as $name.';
comment on column df.nodes.left_node is 'First step of a THEN, first branch, then branch of an IF, body of a LOOP.';
comment on column df.nodes.right_node is 'Second step of a THEN, second branch, else branch of an IF.';
comment on column df.nodes.status is 'pending, running, completed or failed, as last shown. df.instance_nodes() infers more.';
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
comment on view df.edges is 'What holds what: one row per child of every node that has any.';
comment on column df.edges.instance_id is 'The instance whose graph it belongs to.';
comment on column df.edges.parent_id is 'The node that holds the other.';
comment on column df.edges.branch is '1 left, 2 right, 3 condition, from 4 on further branches.';
comment on column df.edges.child_id is 'The node that is held.';

create table df.runs (
    instance_id varchar(8) not null,
    node_id varchar(8) not null,
    iteration integer[] not null default '{}',
    status text not null
        constraint runs_status_chk check (status in (
            'waiting',    -- due_at, signal_name or awaited_id says for what -> completed | failed | cancelled
            'completed',  -- result
            'failed',     -- error
            'cancelled'   -- lost a race, or its instance was cancelled
        )),
    result json,
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
comment on column df.runs.result is 'What it came to, keys in select order. Of a race: the winner. Of a loop: its turn and names.';
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
    attempts integer not null default 0
);
comment on table df.queue is 'Live instances only: when each wants a worker, and who has it.';
comment on column df.queue.instance_id is 'The instance.';
comment on column df.queue.submitted_by is 'The role that started it.';
comment on column df.queue.ready_at is 'From when a worker is wanted; infinity while everything in the instance waits for an event.';
comment on column df.queue.leased_until is 'Another worker may take over from then on. That is the whole of crash recovery.';
comment on column df.queue.token is 'Changes with every lease; a write that does not know it is refused.';
comment on column df.queue.worker is 'Host, process and random part of the worker that has the lease.';
comment on column df.queue.wakes is 'Counts wake-ups, so that one which arrives while the instance is being parked is not lost.';
comment on column df.queue.attempts is 'Leases since the last progress; too many and the instance is failed as poisoned.';
create index idx_queue_ready on df.queue (submitted_by, ready_at) where ready_at < 'infinity';
create index idx_queue_owner on df.queue (submitted_by);

create table df.workers (
    name text primary key,
    started_at timestamptz not null default df.clock(),
    seen_at timestamptz not null default df.clock(),
    concurrency integer not null,
    version text not null,
    leases integer not null default 0
);
comment on table df.workers is 'Which workers there are, and when each was last heard of. Nothing depends on it.';
comment on column df.workers.name is 'Host, process and a random part.';
comment on column df.workers.started_at is 'When it began to work.';
comment on column df.workers.seen_at is 'When it last said that it is alive.';
comment on column df.workers.concurrency is 'How many instances it takes at once.';
comment on column df.workers.version is 'The version of pgweave it runs.';
comment on column df.workers.leases is 'How many instances it had in hand when it was last heard of.';

create table df.inbox (
    id bigint generated always as identity primary key,
    instance_id varchar(8) not null references df.instances (id),
    kind text not null check (kind in ('signal', 'cancel')),
    name text,
    payload json,
    sent_by regrole not null default df.caller(),
    sent_at timestamptz not null default df.clock(),
    seen boolean not null default false,
    consumed_by varchar(8)
);
comment on table df.inbox is
    'Signals and cancel requests. Senders only insert, so that an open transaction of theirs never blocks a worker.';
comment on column df.inbox.id is 'Order of arrival; the oldest signal of a name is taken first.';
comment on column df.inbox.instance_id is 'The instance it is sent to.';
comment on column df.inbox.kind is 'signal or cancel.';
comment on column df.inbox.name is 'Name of the signal.';
comment on column df.inbox.payload is 'What the signal carries, or the reason of the cancel.';
comment on column df.inbox.sent_by is 'The role that sent it.';
comment on column df.inbox.sent_at is 'When it was sent.';
comment on column df.inbox.seen is 'A worker has looked at it; it no longer makes the instance due by itself.';
comment on column df.inbox.consumed_by is 'The node that took the signal; null while it is still to be had.';
create index idx_inbox_instance on df.inbox (instance_id);
create index idx_inbox_unseen on df.inbox (instance_id) where not seen;
create index idx_inbox_open on df.inbox (instance_id, name, id) where consumed_by is null;

create table df.vars (
    name text not null,
    value text,
    owner regrole not null default df.caller(),
    primary key (owner, name)
);
comment on table df.vars is 'Variables for {name}, private to each role; df.start takes a copy.';
comment on column df.vars.name is 'Any text, but only letters, digits and underscores can be written in braces.';
comment on column df.vars.value is 'The text that takes the place of {name}.';
comment on column df.vars.owner is 'The role whose variable it is.';

comment on table df.migrations is 'Which numbered SQL files have run here.';
comment on column df.migrations.number is 'The number its file begins with.';
comment on column df.migrations.name is 'The name of its file.';
comment on column df.migrations.checksum is 'SHA-256 of its file: what ran is what the file says.';
comment on column df.migrations.applied_at is 'When it ran.';


-- Row-level security. `to current_user` is the owner of the schema: whoever runs this file.

alter table df.instances enable row level security, force row level security;
alter table df.nodes enable row level security, force row level security;
alter table df.runs enable row level security, force row level security;
alter table df.inbox enable row level security, force row level security;
alter table df.vars enable row level security, force row level security;
alter table df.queue enable row level security, force row level security;

create policy instances_user_isolation on df.instances
    using (submitted_by = (select df.caller())) with check (submitted_by = (select df.caller()));
-- Nodes come with their instance, in its transaction, or never: created_at is a column that users cannot write.
create policy nodes_user_isolation on df.nodes
    using (submitted_by = (select df.caller()))
    with check (
        submitted_by = (select df.caller())
        and now() = (select i.created_at from df.instances as i where i.id = nodes.instance_id)
    );
create policy runs_user_isolation on df.runs using (submitted_by = (select df.caller()));
create policy inbox_user_isolation on df.inbox
    using (exists (select from df.instances as i where i.id = inbox.instance_id))
    with check (
        sent_by = (select df.caller()) and exists (select from df.instances as i where i.id = inbox.instance_id)
    );
create policy vars_user_isolation on df.vars
    using (owner = (select df.caller())) with check (owner = (select df.caller()));

create policy instances_owner on df.instances to current_user using (true) with check (true);
create policy nodes_owner on df.nodes to current_user using (true) with check (true);
create policy runs_owner on df.runs to current_user using (true) with check (true);
create policy inbox_owner on df.inbox to current_user using (true) with check (true);
create policy vars_owner on df.vars to current_user using (true) with check (true);
create policy queue_owner on df.queue to current_user using (true) with check (true);


-- What holds however a row came in: people may insert instances and nodes by hand, as a compiled script does.

create function df.refuse_submitter(p_role regrole) returns void
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
    if v_role.rolsuper and df.setting('superuser_instances') = 0 then
        raise exception 'pgweave: superuser instances are disabled. current_user "%" is a superuser and the setting superuser_instances is 0.',
            v_role.rolname using errcode = 'insufficient_privilege',
            hint = 'Start the workflow as an ordinary role: every step would run as superuser.';
    end if;
end $$;
comment on function df.refuse_submitter(regrole) is 'An error when a role may not have workflows: it cannot log in, or is a superuser where those are refused.';

create function df.check_graph() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    v_nodes bigint;
    v_bytes bigint;
    v_depth integer := 0;
    v_problem text;
begin
    select count(*), coalesce(sum(octet_length(n.query)), 0), case
        when count(distinct n.ordinal) <> count(*) or min(n.ordinal) <> 0 or max(n.ordinal) <> count(*) - 1
            then 'the ordinals of the nodes are not 0, 1, 2 ..'
        when min(n.id) filter (where n.ordinal = 0) <> new.root_node then 'root_node is not the node with ordinal 0'
        when bool_or(n.database is distinct from new.database)
            then 'a node names another database than its instance'
    end
    into v_nodes, v_bytes, v_problem
    from df.nodes as n where n.instance_id = new.id;

    -- Every node but the first has one parent, before it in the order: that is a tree, and all of it can be reached.
    select coalesce(v_problem, case when count(*) <> v_nodes - 1 or count(distinct c.id) <> count(*)
                                         or not coalesce(bool_and(p.ordinal < c.ordinal), true)
                                    then 'the nodes are not one tree in pre-order' end)
    into v_problem
    from df.edges as e
    join df.nodes as p on p.instance_id = e.instance_id and p.id = e.parent_id
    left join df.nodes as c on c.instance_id = e.instance_id and c.id = e.child_id
    where e.instance_id = new.id;

    if v_problem is null and v_nodes > df.setting('max_depth') then
        with recursive edge as materialized (
            select e.parent_id, e.child_id from df.edges as e where e.instance_id = new.id
        ),
        level (id, depth) as (
            select new.root_node, 0
            union all
            select e.child_id, l.depth + 1 from level as l join edge as e on e.parent_id = l.id
        )
        select max(l.depth) into v_depth from level as l;
    end if;
    v_problem := coalesce(v_problem, case
        when v_nodes > df.setting('max_nodes')
            then format('Workflow exceeds maximum node count of %s.', df.setting('max_nodes'))
        when v_depth > df.setting('max_depth')
            then format('Graph exceeds maximum nesting depth of %s.', df.setting('max_depth'))
        when v_bytes > df.setting('max_graph_bytes')
            then format('Workflow exceeds maximum size of %s bytes.', df.setting('max_graph_bytes'))
    end);
    if v_problem is not null then
        raise exception 'Invalid durable function graph: %', v_problem using
            errcode = 'check_violation', schema = 'df', table = 'instances', constraint = 'instances_graph_chk';
    end if;
    return null;
exception when invalid_text_representation or untranslatable_character then
    raise exception 'Invalid durable function graph: a configuration is not JSON: %', sqlerrm using
        errcode = 'check_violation', schema = 'df', table = 'instances', constraint = 'instances_graph_chk';
end $$;
comment on function df.check_graph() is 'When a start is committed: is the graph one tree, within the limits? Rows can be written by hand.';
create constraint trigger instances_graph_chk after insert on df.instances deferrable initially deferred
    for each row execute function df.check_graph();

create function df.enqueue() returns trigger
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
    perform df.refuse_submitter(new.submitted_by);
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
    -- Counting thousands takes as long as the rest of the start, so that large limits are looked at once in 16 starts.
    if (v_limit.live <= 1000 or new.id like '%0') and (
        select count(*) from (
            select from df.queue as q where q.submitted_by = new.submitted_by limit v_limit.live + 1
        ) as live
    ) > v_limit.live then
        raise exception 'role "%" has reached the maximum of % live instances', new.submitted_by, v_limit.live
            using errcode = 'configuration_limit_exceeded',
                  hint = 'Wait until some have ended, cancel some, or ask the owner of schema df to raise max_live_instances.';
    end if;
    -- A hint for idle workers; they poll as well, so nothing depends on it.
    perform pg_notify('pgweave', '');
    return null;
end $$;
comment on function df.enqueue() is
    'Makes a new instance known to the workers, in the transaction that starts it, unless its role may not have it.';
create trigger enqueue after insert on df.instances for each row execute function df.enqueue();
comment on trigger enqueue on df.instances is 'Committed means queued.';

create function df.ring() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_payload constant bigint := df.setting('max_payload_bytes');
    v_signals constant bigint := df.setting('max_signals');
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
    perform pg_notify('pgweave', '');
    return null;
end $$;
comment on function df.ring() is 'Rings for the workers when something has arrived in the inbox, unless it is too much.';
create trigger ring after insert on df.inbox referencing new table as arrived
    for each statement execute function df.ring();
comment on trigger ring on df.inbox is 'Wakes idle workers.';

create function df.keep_terminal() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception 'Instance % is %; a finished instance never changes', old.id, old.status using errcode = 'PWR04';
end $$;
comment on function df.keep_terminal() is 'Guards the promise that a terminal status is for ever, even against mistakes of ours.';
create trigger keep_terminal before update on df.instances for each row
    when (old.status in ('completed', 'failed', 'cancelled')) execute function df.keep_terminal();
comment on trigger keep_terminal on df.instances is 'A terminal status is for ever.';
