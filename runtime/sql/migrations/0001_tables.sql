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

comment on schema df is 'Durable SQL workflows: graphs, their runs, and the functions that build, start and watch them.';

create function df.clock() returns timestamptz
language sql volatile parallel safe
set search_path = pg_catalog, pg_temp
as $$ select coalesce(nullif(current_setting('pgweave.fake_now', true), '')::timestamptz, clock_timestamp()) $$;
comment on function df.clock() is
    'The only clock: clock_timestamp(), unless the session sets pgweave.fake_now (for tests).';

create function df.caller() returns regrole
language sql stable parallel safe
as $$ select pg_catalog.quote_ident(current_user)::pg_catalog.regrole $$;
comment on function df.caller() is 'The role whose rows the caller may see: current_user, as regrole.';


create table df.instances (
    id varchar(8) primary key
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
    created_at timestamptz default now(),
    updated_at timestamptz default now(),
    completed_at timestamptz,
    result json,
    error jsonb,
    variables jsonb not null default '{}',
    parent_instance_id varchar(8),
    parent_node_id varchar(8),
    format smallint not null default 1,
    constraint instances_identity_key unique (id, submitted_by)
);
comment on table df.instances is 'One row per started workflow. A terminal status, result and end never change.';
comment on column df.instances.completed_at is 'When the instance ended, however it ended.';
comment on column df.instances.result is 'Result of the root node, keys in select order.';
comment on column df.instances.error is 'Why it failed: message and, from the server, sqlstate, detail, hint, position.';
comment on column df.instances.variables is 'df.vars of the submitting role at the moment of the start.';
comment on column df.instances.parent_instance_id is 'The instance whose step called df.start, if one did.';
comment on column df.instances.format is 'Shape of the rows; a worker that does not know it leaves the instance alone.';
create index idx_instances_status on df.instances (status, created_at desc, id);
create index idx_instances_created_at on df.instances (created_at desc, id);
create index idx_instances_label on df.instances (label, created_at desc, id) where label is not null;
create index idx_instances_parent on df.instances (parent_instance_id) where parent_instance_id is not null;

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
    created_at timestamptz default now(),
    updated_at timestamptz default now(),
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
        references df.instances (id, submitted_by) deferrable initially deferred,
    constraint nodes_left_node_same_instance_fkey foreign key (instance_id, left_node)
        references df.nodes (instance_id, id) deferrable initially deferred,
    constraint nodes_right_node_same_instance_fkey foreign key (instance_id, right_node)
        references df.nodes (instance_id, id) deferrable initially deferred
);
comment on table df.nodes is 'The graph of each instance, with the latest state of each node. The graph never changes after the start.';
comment on column df.nodes.ordinal is 'Position in pre-order, from 0: node, left, right, condition, further branches.';
comment on column df.nodes.query is 'SQL text, or the configuration as JSON, by node_type.';
comment on column df.nodes.error is 'Message of the failure, if the node failed.';
alter table df.instances add constraint instances_root_node_same_instance_fkey
    foreign key (id, root_node) references df.nodes (instance_id, id) deferrable initially deferred;

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
comment on column df.runs.iteration is 'Turns of the enclosing loops, outermost first, from 1; empty outside of loops.';
comment on column df.runs.query is 'The SQL that ran, values in place.';
comment on column df.runs.due_at is 'When a sleep ends or a wait times out.';
comment on column df.runs.awaited_id is 'The instance this node waits for.';
create index idx_runs_waiting on df.runs (instance_id) where status = 'waiting';
create index idx_runs_awaited on df.runs (awaited_id) where status = 'waiting' and awaited_id is not null;

create table df.queue (
    instance_id varchar(8) primary key references df.instances (id),
    ready_at timestamptz not null default df.clock(),
    leased_until timestamptz not null default '-infinity',
    token uuid,
    worker text,
    wakes bigint not null default 0,
    attempts integer not null default 0
);
comment on table df.queue is 'Live instances only: when each wants a worker, and who has it.';
comment on column df.queue.ready_at is 'From when a worker is wanted; infinity while everything in the instance waits for an event.';
comment on column df.queue.leased_until is 'Another worker may take over from then on. That is the whole of crash recovery.';
comment on column df.queue.token is 'Changes with every lease; a write that does not know it is refused.';
comment on column df.queue.wakes is 'Counts wake-ups, so that one which arrives while the instance is being parked is not lost.';
comment on column df.queue.attempts is 'Leases since the last progress; too many and the instance is failed as poisoned.';
create index idx_queue_ready on df.queue (ready_at) where ready_at < 'infinity';

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
comment on column df.inbox.seen is 'A worker has looked at it; it no longer makes the instance due by itself.';
comment on column df.inbox.consumed_by is 'The node that took the signal; null while it is still to be had.';
create index idx_inbox_unseen on df.inbox (instance_id) where not seen;
create index idx_inbox_open on df.inbox (instance_id, name, id) where consumed_by is null;

create table df.vars (
    name text not null,
    value text,
    owner regrole not null default df.caller(),
    primary key (owner, name)
);
comment on table df.vars is 'Variables for {name}, private to each role; df.start takes a copy.';

-- Each role sees its own rows. The owner of the schema is not bound: its functions do the workers' half.
alter table df.instances enable row level security;
alter table df.nodes enable row level security;
alter table df.runs enable row level security;
alter table df.inbox enable row level security;
alter table df.vars enable row level security;
create policy instances_user_isolation on df.instances
    using (submitted_by = df.caller()) with check (submitted_by = df.caller());
create policy nodes_user_isolation on df.nodes
    using (submitted_by = df.caller()) with check (submitted_by = df.caller());
create policy runs_user_isolation on df.runs using (submitted_by = df.caller());
create policy inbox_user_isolation on df.inbox
    using (exists (select from df.instances as i where i.id = inbox.instance_id))
    with check (sent_by = df.caller() and exists (select from df.instances as i where i.id = inbox.instance_id));
create policy vars_user_isolation on df.vars using (owner = df.caller()) with check (owner = df.caller());

create function df.enqueue() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    insert into df.queue (instance_id) values (new.id);
    -- A hint for idle workers; they poll as well, so nothing depends on it.
    perform pg_notify('pgweave', '');
    return null;
end $$;
comment on function df.enqueue() is 'Makes a new instance known to the workers, in the transaction that starts it.';
create trigger enqueue after insert on df.instances for each row execute function df.enqueue();

create function df.ring() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    perform pg_notify('pgweave', '');
    return null;
end $$;
comment on function df.ring() is 'Rings for the workers when something has arrived in the inbox.';
create trigger ring after insert on df.inbox for each statement execute function df.ring();

create function df.keep_terminal() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception 'Instance % is %; a finished instance never changes', old.id, old.status using errcode = 'PW004';
end $$;
comment on function df.keep_terminal() is 'Guards the promise that a terminal status is for ever, even against mistakes of ours.';
create trigger keep_terminal before update on df.instances for each row
    when (old.status in ('completed', 'failed', 'cancelled')) execute function df.keep_terminal();
