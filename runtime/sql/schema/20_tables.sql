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
