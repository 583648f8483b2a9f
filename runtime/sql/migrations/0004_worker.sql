-- The workers' half. Two sessions take part: the worker's own, on which it leases, decides and waits, and one that is
-- logged in as the submitting role, on which df.exec_node runs that role's SQL. Functions named worker_* are for the
-- first and not for PUBLIC; df.exec_node is for the second. Every write is fenced: it names the lease's token and
-- holds the queue row, so a worker that was paused past its lease is refused.
--
-- Refusals of ours: PWR01 the lease is lost, PWR02 the node-run has ended already, PWR03 the result is too large,
-- PWR04 the instance has ended already, PWR05 the instance is to be cancelled.

create function df.fence(p_instance_id text, p_token uuid) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    -- Key share: whoever wants to take over (for update) has to wait; wake-ups and renewals need not.
    perform from df.queue as q where q.instance_id = p_instance_id and q.token = p_token for key share;
    if not found then
        raise exception 'The lease on instance % is lost', p_instance_id using errcode = 'PWR01';
    end if;
end $$;
comment on function df.fence(text, uuid) is 'Holds the lease until the transaction ends, or raises PWR01.';


-- On the submitter's session.

create function df.step_begin(p_instance_id text, p_node_id text, p_iteration integer[], p_token uuid) returns xid8
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform df.fence(p_instance_id, p_token);
    -- Only session_user can be trusted here: it is the login, which no SQL of the step can change.
    perform from df.instances as i
    where i.id = p_instance_id and i.submitted_by = quote_ident(session_user)::regrole
      and i.status not in ('completed', 'failed', 'cancelled');
    if not found then
        raise exception 'The lease on instance % is lost', p_instance_id using errcode = 'PWR01';
    end if;
    -- A session outlives the right to log in.
    perform df.refuse_submitter(quote_ident(session_user)::regrole);
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
comment on function df.step_begin(text, text, integer[], uuid) is
    'First half of a step: lock and fence. Returns the transaction that has to finish it.';

create function df.step_end(
    p_instance_id text, p_node_id text, p_iteration integer[], p_token uuid, p_transaction xid8, p_result text,
    p_query text, p_attempts integer, p_started_at timestamptz
) returns timestamptz
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if p_transaction is distinct from pg_current_xact_id() then
        raise exception 'The step of node % left its transaction', p_node_id using errcode = 'PWR01';
    end if;
    perform df.fence(p_instance_id, p_token);
    perform from df.instances as i where i.id = p_instance_id and i.submitted_by = quote_ident(session_user)::regrole;
    if not found then
        raise exception 'The lease on instance % is lost', p_instance_id using errcode = 'PWR01';
    end if;
    return df.checkpoint(p_instance_id, p_node_id, p_iteration, p_result, null, p_query, p_attempts, p_started_at);
end $$;
comment on function df.step_end(text, text, integer[], uuid, xid8, text, text, integer, timestamptz) is
    'Second half of a step: the checkpoint, in the transaction that did the work.';

create function df.checkpoint(
    p_instance_id text, p_node_id text, p_iteration integer[], p_result text, p_error jsonb, p_query text,
    p_attempts integer, p_started_at timestamptz
) returns timestamptz
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_finished_at constant timestamptz := df.clock();
begin
    -- Of two transactions that run the same step the second waits here for the first, and then must not commit.
    insert into df.runs (
        instance_id, node_id, iteration, status, result, error, query, attempts, started_at, finished_at, submitted_by
    )
    select p_instance_id, p_node_id, p_iteration, case when p_error is null then 'completed' else 'failed' end,
           p_result::json, p_error, p_query, p_attempts, p_started_at, v_finished_at, i.submitted_by
    from df.instances as i where i.id = p_instance_id
    on conflict (instance_id, node_id, iteration) do nothing;
    if not found then
        raise exception 'Node % of instance % has run already', p_node_id, p_instance_id using errcode = 'PWR02';
    end if;
    perform df.show_leaf(p_instance_id, p_node_id, p_result, p_error);
    -- Progress: earlier leases that came to nothing no longer count.
    update df.queue as q set attempts = 1 where q.instance_id = p_instance_id and q.attempts > 1;
    return v_finished_at;
end $$;
comment on function df.checkpoint(text, text, integer[], text, jsonb, text, integer, timestamptz) is
    'Records the end of a node-run, once. Returns when that was.';

create function df.as_jsonb(p_json text) returns jsonb
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    return p_json::jsonb;
exception when untranslatable_character then
    -- json can spell the character NUL and jsonb cannot hold it. df.runs keeps the exact result.
    return to_jsonb(p_json);
end $$;
comment on function df.as_jsonb(text) is 'A result for the jsonb column of df.nodes, whatever it holds.';

create function df.show_leaf(p_instance_id text, p_node_id text, p_result text, p_error jsonb) returns void
language sql
set search_path = pg_catalog, pg_temp
as $$
    update df.nodes as n
    set status = case when p_error is null then 'completed' else 'failed' end, updated_at = df.clock(),
        error = p_error ->> 'message', result = coalesce(df.as_jsonb(p_result), to_jsonb(p_error ->> 'message'))
    where n.instance_id = p_instance_id and n.id = p_node_id
$$;
comment on function df.show_leaf(text, text, text, jsonb) is 'Copies the end of a run to its node, for people who watch.';

create function df.exec_node(
    p_instance_id text, p_node_id text, p_iteration integer[], p_token uuid, p_query text, p_attempts integer,
    p_max_bytes bigint, out result text, out finished_at timestamptz
)
language plpgsql security invoker
-- No search_path of its own: the step has to see the submitter's. Hence every name below is qualified.
as $$
declare
    v_started_at constant timestamptz := df.clock();
    v_transaction xid8;
    v_cursor refcursor;
    v_record record;
    v_row text;
    v_rows text[] := '{}';
    v_bytes bigint := 0;
    v_affected bigint := 0;
    v_columns text := '';
begin
    v_transaction := df.step_begin(p_instance_id, p_node_id, p_iteration, p_token);
    perform pg_catalog.set_config('df.in_workflow', 'true', true);
    perform pg_catalog.set_config('df.instance_id', p_instance_id, true);
    perform pg_catalog.set_config('df.node_id', p_node_id, true);
    begin
        open v_cursor for execute p_query;
    exception when invalid_cursor_definition then
        -- A statement that returns no rows cannot be opened. Nothing of it has run yet.
        v_cursor := null;
    end;
    if v_cursor is null then
        execute p_query;
        get diagnostics v_affected = row_count;
    else
        loop
            fetch v_cursor into v_record;
            exit when not found;
            v_row := pg_catalog.row_to_json(v_record)::pg_catalog.text;
            v_bytes := v_bytes OPERATOR(pg_catalog.+) pg_catalog.octet_length(v_row);
            if v_bytes OPERATOR(pg_catalog.>) p_max_bytes then
                raise exception 'The result is larger than % bytes', p_max_bytes using errcode = 'PWR03',
                    hint = 'Return fewer rows or columns: store the data in a table and return its key.';
            end if;
            v_rows := pg_catalog.array_append(v_rows, v_row);
        end loop;
        close v_cursor;
        if v_rows OPERATOR(pg_catalog.=) '{}' then
            -- Without rows their names would be lost, and `$name.*` has to have them. Fetching nothing gives a row of nulls.
            v_columns := pg_catalog.concat(',"columns":', (
                select pg_catalog.json_agg(k) from pg_catalog.json_object_keys(pg_catalog.row_to_json(v_record)) as k
            ));
        end if;
        v_affected := pg_catalog.cardinality(v_rows);
    end if;
    result := pg_catalog.concat(
        '{"rows":[', pg_catalog.array_to_string(v_rows, ','), '],"row_count":', pg_catalog.cardinality(v_rows),
        ',"rows_affected":', v_affected, v_columns, '}'
    );
    finished_at := df.step_end(
        p_instance_id, p_node_id, p_iteration, p_token, v_transaction, result, p_query, p_attempts, v_started_at
    );
end $$;
comment on function df.exec_node(text, text, integer[], uuid, text, integer, bigint) is
    'One SQL step: fence, statement and checkpoint in one transaction and one round trip.';


-- On the worker's own session.

create function df.worker_claim(p_worker text, p_limit integer, p_lease_seconds double precision)
returns table (instance_id text, token uuid, role_name text, database text, attempts integer)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    -- A constant, so that the indexes can be used: of a million that sleep none is looked at.
    v_now constant timestamptz := df.clock();
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
    letters (instance_id) as (
        -- The instances with letters nobody has looked at, one index probe each: a flood for one must not hide another's.
        (select b.instance_id::text from df.inbox as b where not b.seen order by b.instance_id limit 1)
        union all
        select (select b.instance_id::text from df.inbox as b
                where not b.seen and b.instance_id > l.instance_id order by b.instance_id limit 1)
        from letters as l where l.instance_id is not null
    ),
    wanted (instance_id) as (
        -- In turns: the first of each role, then the second of each, so that nobody's backlog keeps others waiting.
        (select w.instance_id from roles as r cross join lateral (
             select q.instance_id, row_number() over (order by q.ready_at) as place from df.queue as q
             where q.submitted_by = r.role and q.ready_at < 'infinity' and q.ready_at <= v_now and q.leased_until <= v_now
             order by q.ready_at limit p_limit
         ) as w
         order by w.place limit p_limit)
        union
        (select q.instance_id from letters as l join df.queue as q on q.instance_id = l.instance_id
         where q.leased_until <= v_now limit p_limit)
    ),
    due as (
        -- Skip locked: two workers never wait for each other here, and a step in flight keeps its instance.
        select q.instance_id from df.queue as q
        where q.instance_id in (select w.instance_id from wanted as w) and q.leased_until <= v_now
        limit p_limit
        for update skip locked
    )
    update df.queue as q
    set token = gen_random_uuid(), worker = p_worker, attempts = q.attempts + 1,
        leased_until = v_now + make_interval(secs => p_lease_seconds),
        -- Whatever it was that woke a parked instance, from here on it is the lease that says when to look again.
        ready_at = least(q.ready_at, v_now)
    from due, df.instances as i left join pg_roles as r on r.oid = i.submitted_by
    where q.instance_id = due.instance_id and i.id = due.instance_id
    returning q.instance_id::text, q.token, r.rolname::text, i.database, q.attempts;
end $$;
comment on function df.worker_claim(text, integer, double precision) is
    'Leases up to so many instances that want a worker, the roles in turns. An expired lease counts as none: that is crash recovery.';

create function df.worker_beat(p_worker text, p_concurrency integer, p_version text, p_leases integer) returns void
language sql security definer
set search_path = pg_catalog, pg_temp
as $$
    insert into df.workers (name, concurrency, version, leases) values (p_worker, p_concurrency, p_version, p_leases)
    on conflict (name) do update set seen_at = df.clock(), leases = excluded.leases;
    -- A worker that has not been heard of for a day will not come back under its name.
    delete from df.workers as w where w.seen_at < df.clock() - interval '1 day';
$$;
comment on function df.worker_beat(text, integer, text, integer) is 'Says that a worker is alive.';

create function df.worker_gone(p_worker text) returns void
language sql security definer
set search_path = pg_catalog, pg_temp
as $$ delete from df.workers as w where w.name = p_worker $$;
comment on function df.worker_gone(text) is 'Says that a worker has stopped in good order.';

create function df.worker_renew(p_tokens uuid[], p_running jsonb, p_lease_seconds double precision) returns uuid[]
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_held uuid[];
begin
    with renewed as (
        update df.queue as q set leased_until = df.clock() + make_interval(secs => p_lease_seconds)
        where q.token = any (p_tokens) returning q.token
    )
    select coalesce(array_agg(r.token), '{}') into v_held from renewed as r;
    -- Steps that outlive a renewal become visible as running; shorter ones nobody can watch.
    update df.nodes as n set status = 'running', updated_at = df.clock()
    from jsonb_to_recordset(p_running) as s (instance_id text, node_id text)
    where n.instance_id = s.instance_id and n.id = s.node_id and n.status = 'pending';
    return v_held;
end $$;
comment on function df.worker_renew(uuid[], jsonb, double precision) is 'Keeps leases; returns the tokens that still hold.';

create function df.worker_load(p_instance_id text, p_token uuid) returns json
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform df.fence(p_instance_id, p_token);
    update df.instances as i set status = 'running', updated_at = df.clock()
    where i.id = p_instance_id and i.status = 'pending';
    return (
        select json_build_object(
            'label', i.label, 'variables', i.variables, 'format', i.format, 'root', i.root_node,
            'nodes', (
                select json_agg(json_build_object(
                    'id', n.id, 'node_type', n.node_type, 'query', n.query, 'result_name', n.result_name,
                    'left_node', n.left_node, 'right_node', n.right_node
                ) order by n.ordinal)
                from df.nodes as n where n.instance_id = i.id
            )
        )
        from df.instances as i where i.id = p_instance_id
    );
end $$;
comment on function df.worker_load(text, uuid) is 'The graph of a leased instance. It never changes.';

create function df.later(p_seconds double precision) returns timestamptz
language sql volatile
set search_path = pg_catalog, pg_temp
-- Past some three thousand years, for ever will do; an interval that long could overflow.
as $$ select case when p_seconds > 1e11 then 'infinity' else df.clock() + make_interval(secs => p_seconds) end $$;
comment on function df.later(double precision) is 'The time so many seconds from now; null for null.';

create function df.worker_wait(p_instance_id text, p_token uuid, p_waits jsonb) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform df.fence(p_instance_id, p_token);
    insert into df.runs (
        instance_id, node_id, iteration, status, started_at, due_at, signal_name, awaited_id, submitted_by
    )
    select
        p_instance_id, w.node_id,
        coalesce(array(select e.value::integer from jsonb_array_elements_text(w.iteration) with ordinality as e (value, place)
                       order by e.place), '{}'),
        'waiting', df.clock(), coalesce(w.due_at, df.later(w.seconds)), w.signal_name,
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
comment on function df.worker_wait(text, uuid, jsonb) is 'Begins waits: of the time given, for a signal, or for an instance.';

create function df.awaited(p_run df.runs, out done boolean, out result text, out error text)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_child df.instances;
    v_config jsonb;
begin
    -- Share: if the instance is just ending we see its end; if it ends later, its end sees our wait.
    select i.* into v_child from df.instances as i
    where i.id = p_run.awaited_id
      and (i.submitted_by = p_run.submitted_by
           or exists (select from pg_roles as r where r.oid = p_run.submitted_by and (r.rolsuper or r.rolbypassrls)))
    for share;
    select df.as_jsonb(n.query) into v_config from df.nodes as n
    where n.instance_id = p_run.instance_id and n.id = p_run.node_id;
    done := true;
    if v_child.id is null then
        error := format('Instance not found: %s', p_run.awaited_id);
    elsif v_child.status = 'completed' then
        result := format('{"instance_id":"%s","status":"completed","result":%s}', v_child.id, coalesce(v_child.result::text, 'null'));
    elsif v_child.status in ('failed', 'cancelled') then
        error := format(
            'Awaited instance %s ended with status %s: %s', v_child.id, v_child.status,
            case when v_child.status = 'failed' then coalesce((v_child.error -> 'message')::text, 'null') else 'null' end
        );
        if v_config ->> 'on_failure' = 'return' then
            result := format(
                '{"instance_id":"%s","status":"%s","result":null,"error":%s}',
                v_child.id, v_child.status, coalesce((v_child.error -> 'message')::text, 'null')
            );
            error := null;
        end if;
    elsif p_run.due_at <= df.clock() then
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
comment on function df.awaited(df.runs) is 'What a wait for an instance has come to. Only instances the role may see exist for it.';

create function df.signalled(p_run df.runs, out done boolean, out result text, out error text)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_letter df.inbox;
begin
    update df.inbox as b set consumed_by = p_run.node_id
    where b.id = (
        select min(c.id) from df.inbox as c
        where c.instance_id = p_run.instance_id and c.kind = 'signal' and c.name = p_run.signal_name
          and c.consumed_by is null and c.sent_at <= coalesce(p_run.due_at, 'infinity')
    )
    returning b.* into v_letter;
    done := v_letter.id is not null or coalesce(p_run.due_at <= df.clock(), false);
    if done then
        result := format(
            '{"signal_name":%s,"timed_out":%s,"data":%s}', to_json(p_run.signal_name),
            case when v_letter.id is null then 'true' else 'false' end, coalesce(v_letter.payload::text, 'null')
        );
    end if;
end $$;
comment on function df.signalled(df.runs) is 'Takes the oldest signal a wait can have, or its timeout.';

create function df.worker_settle(p_instance_id text, p_token uuid) returns json
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_wakes bigint;
    v_run df.runs;
    v_type text;
    v_config text;
    v_outcome record;
begin
    perform df.fence(p_instance_id, p_token);
    -- Read before looking at anything: what changes from here on raises the count, and parking will notice.
    select q.wakes into v_wakes from df.queue as q where q.instance_id = p_instance_id;
    update df.inbox as b set seen = true where b.instance_id = p_instance_id and not b.seen;
    for v_run in
        -- In the order in which they came to an end, so that races are decided by that and not by when somebody looked.
        select r.* from df.runs as r join df.nodes as n on n.instance_id = r.instance_id and n.id = r.node_id
        where r.instance_id = p_instance_id and r.status = 'waiting'
        order by least(
            r.due_at,
            (select i.completed_at from df.instances as i where i.id = r.awaited_id),
            (select min(b.sent_at) from df.inbox as b
             where b.instance_id = r.instance_id and b.kind = 'signal' and b.name = r.signal_name and b.consumed_by is null)
        ), r.started_at, n.ordinal
    loop
        if v_run.awaited_id is not null then
            select * into v_outcome from df.awaited(v_run);
        elsif v_run.signal_name is not null then
            select * into v_outcome from df.signalled(v_run);
        else
            select n.node_type, n.query into v_type, v_config from df.nodes as n
            where n.instance_id = p_instance_id and n.id = v_run.node_id;
            select v_run.due_at <= df.clock() as done, null::text as error,
                   case when v_type = 'SLEEP' then format('{"slept": true, "seconds": %s}', v_config)
                        else '{"scheduled": true}' end as result
            into v_outcome;
        end if;
        if v_outcome.done then
            update df.runs as r
            set status = case when v_outcome.error is null then 'completed' else 'failed' end, finished_at = df.clock(),
                result = v_outcome.result::json,
                error = case when v_outcome.error is not null then jsonb_build_object('message', v_outcome.error) end
            where r.instance_id = p_instance_id and r.node_id = v_run.node_id and r.iteration = v_run.iteration
            returning r.* into v_run;
            perform df.show_leaf(p_instance_id, v_run.node_id, v_run.result::text, v_run.error);
        end if;
    end loop;
    return (
        select json_build_object(
            'wakes', v_wakes, 'now', df.clock(),
            'cancel', (select b.payload from df.inbox as b where b.instance_id = p_instance_id and b.kind = 'cancel'
                       order by b.id limit 1),
            'runs', coalesce((
                select json_agg(json_build_object(
                    'node_id', r.node_id, 'iteration', r.iteration, 'status', r.status, 'result', r.result::text,
                    'error', r.error, 'started_at', r.started_at, 'finished_at', r.finished_at, 'due_at', r.due_at,
                    'awaited_id', r.awaited_id
                ))
                from df.runs as r where r.instance_id = p_instance_id
            ), '[]')
        )
    );
end $$;
comment on function df.worker_settle(text, uuid) is
    'Ends the waits that have come to something, then says all that is known of a leased instance.';

create function df.worker_fail(
    p_instance_id text, p_token uuid, p_node_id text, p_iteration integer[], p_error jsonb, p_query text,
    p_attempts integer, p_elapsed_seconds double precision
) returns timestamptz
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform df.fence(p_instance_id, p_token);
    return df.checkpoint(
        p_instance_id, p_node_id, p_iteration, null, p_error, p_query, p_attempts,
        df.clock() - make_interval(secs => p_elapsed_seconds)
    );
end $$;
comment on function df.worker_fail(text, uuid, text, integer[], jsonb, text, integer, double precision) is
    'Records that a step failed for good; its own transaction has been rolled back.';

create function df.worker_record(
    p_instance_id text, p_token uuid, p_node_id text, p_iteration integer[], p_result text, p_query text,
    p_attempts integer, p_elapsed_seconds double precision
) returns timestamptz
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform df.fence(p_instance_id, p_token);
    return df.checkpoint(
        p_instance_id, p_node_id, p_iteration, p_result, null, p_query, p_attempts,
        df.clock() - make_interval(secs => p_elapsed_seconds)
    );
end $$;
comment on function df.worker_record(text, uuid, text, integer[], text, text, integer, double precision) is
    'Records the result of a step whose effects are not part of this transaction: at least once, not exactly once.';

create function df.worker_cancelled(p_instance_ids text[]) returns text[]
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(array_agg(distinct b.instance_id), '{}') from df.inbox as b
    where b.instance_id = any (p_instance_ids) and b.kind = 'cancel' and b.consumed_by is null
$$;
comment on function df.worker_cancelled(text[]) is 'Which of these instances are to be cancelled: their steps in hand are interrupted.';

create function df.worker_run(p_instance_id text, p_token uuid, p_node_id text, p_iteration integer[])
returns table (status text, result text, error jsonb, finished_at timestamptz)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform df.fence(p_instance_id, p_token);
    return query
        select r.status, r.result::text, r.error, r.finished_at from df.runs as r
        where r.instance_id = p_instance_id and r.node_id = p_node_id and r.iteration = p_iteration;
end $$;
comment on function df.worker_run(text, uuid, text, integer[]) is
    'One node-run as recorded. What a foreign session said about it is not evidence.';

create function df.worker_decide(
    p_instance_id text, p_token uuid, p_node_id text, p_iteration integer[], p_result text, p_final boolean,
    p_forget jsonb, p_abandoned jsonb
) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform df.fence(p_instance_id, p_token);
    insert into df.runs (instance_id, node_id, iteration, status, result, started_at, finished_at, submitted_by)
    select p_instance_id, p_node_id, p_iteration, 'completed', p_result::json, df.clock(), df.clock(), i.submitted_by
    from df.instances as i where i.id = p_instance_id
    on conflict (instance_id, node_id, iteration) do update
    set result = excluded.result, finished_at = excluded.finished_at
    where not p_final;
    -- A loop keeps its latest turn only, so its history does not grow.
    delete from df.runs as r using jsonb_to_recordset(p_forget) as s (node_id text, iteration jsonb)
    where r.instance_id = p_instance_id and r.node_id = s.node_id and to_jsonb(r.iteration) = s.iteration;
    delete from df.inbox as b using jsonb_to_recordset(p_forget) as s (node_id text)
    where b.instance_id = p_instance_id and b.consumed_by = s.node_id;
    -- From here on no signal may go to a wait that has lost: another wait of that name may come.
    perform df.cancel_waits(p_instance_id, p_abandoned);
end $$;
comment on function df.worker_decide(text, uuid, text, integer[], text, boolean, jsonb, jsonb) is
    'Records which branch won a race (final; the waits of the other end), or how far a loop has come (and forgets the turn before).';

create function df.show_nodes(p_instance_id text, p_nodes jsonb) returns void
language sql
set search_path = pg_catalog, pg_temp
as $$
    update df.nodes as n
    set status = s.status, updated_at = df.clock(), error = s.error,
        result = case when s.status in ('completed', 'failed')
                      then coalesce(df.as_jsonb(s.result), to_jsonb(s.error)) end
    from jsonb_to_recordset(p_nodes) as s (id text, status text, result text, error text)
    where n.instance_id = p_instance_id and n.id = s.id and (n.status, n.error) is distinct from (s.status, s.error)
$$;
comment on function df.show_nodes(text, jsonb) is
    'Shows the state of the nodes that hold others. Nothing depends on it: it follows from df.runs.';

create function df.cancel_awaited(p_run df.runs) returns void
language sql
set search_path = pg_catalog, pg_temp
as $$
    insert into df.inbox (instance_id, kind, name, payload)
    select i.id, 'cancel', p_run.instance_id, to_json('its parent ' || p_run.instance_id || ' no longer waits'::text)
    from df.instances as i, df.nodes as n
    where i.id = p_run.awaited_id and i.parent_instance_id = p_run.instance_id and i.status in ('pending', 'running')
      and n.instance_id = p_run.instance_id and n.id = p_run.node_id and df.as_jsonb(n.query) ->> 'on_cancel' = 'cancel'
$$;
comment on function df.cancel_awaited(df.runs) is 'Cancels the child of a wait that is given up, if its call says so.';

create function df.cancel_waits(p_instance_id text, p_runs jsonb) returns void
language sql
set search_path = pg_catalog, pg_temp
as $$
    select df.cancel_awaited(r) from df.runs as r, jsonb_to_recordset(p_runs) as s (node_id text, iteration jsonb)
    where r.instance_id = p_instance_id and r.node_id = s.node_id and r.status = 'waiting' and r.awaited_id is not null
      and to_jsonb(r.iteration) = s.iteration;
    update df.runs as r set status = 'cancelled', finished_at = df.clock()
    from jsonb_to_recordset(p_runs) as s (node_id text, iteration jsonb)
    where r.instance_id = p_instance_id and r.node_id = s.node_id and r.status = 'waiting'
      and to_jsonb(r.iteration) = s.iteration
$$;
comment on function df.cancel_waits(text, jsonb) is 'Ends waits nobody is interested in any more: those of a lost race.';

create function df.worker_park(
    p_instance_id text, p_token uuid, p_wakes bigint, p_nodes jsonb, p_delay_seconds double precision default null
) returns boolean
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform df.fence(p_instance_id, p_token);
    perform df.show_nodes(p_instance_id, p_nodes);
    update df.queue as q
    set ready_at = least(df.later(p_delay_seconds), coalesce((
            select min(r.due_at) from df.runs as r where r.instance_id = p_instance_id and r.status = 'waiting'
        ), 'infinity')),
        leased_until = '-infinity', token = null, worker = null, attempts = 0
    where q.instance_id = p_instance_id and q.token = p_token and q.wakes = p_wakes;
    return found;
end $$;
comment on function df.worker_park(text, uuid, bigint, jsonb, double precision) is
    'Gives the lease back until the first due time, the delay or a wake-up. False: a wake-up came meanwhile, look again.';

create function df.worker_release(p_instance_id text, p_token uuid) returns void
language sql security definer
set search_path = pg_catalog, pg_temp
as $$
    update df.queue as q set leased_until = '-infinity', token = null, worker = null, ready_at = least(q.ready_at, df.clock()),
        attempts = greatest(q.attempts - 1, 0)
    where q.instance_id = p_instance_id and q.token = p_token
$$;
comment on function df.worker_release(text, uuid) is 'Gives the lease back in the middle of the work, for another worker to go on.';

create function df.meet_the_end() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    -- Share: an end that is just being written is waited for; one that comes later will find this request.
    perform from df.instances as i where i.id = new.instance_id for share;
    update df.inbox as b set seen = true from df.instances as i
    where b.id = new.id and i.id = b.instance_id and i.status in ('completed', 'failed', 'cancelled');
    return null;
end $$;
comment on function df.meet_the_end() is
    'When a cancel is committed: either the instance has ended by then, or it ends cancelled. Nothing in between.';
-- Not before the commit: a transaction that is left open after df.cancel must not hold up a worker. A parent that ends
-- cancels its children under its own locks and takes no more of them.
create constraint trigger meet_the_end after insert on df.inbox deferrable initially deferred
    for each row when (new.kind = 'cancel' and new.name is null) execute function df.meet_the_end();
comment on trigger meet_the_end on df.inbox is 'A cancel and an end that race: exactly one wins.';

create function df.worker_finish(
    p_instance_id text, p_token uuid, p_status text, p_result text, p_error jsonb, p_nodes jsonb
) returns text
language plpgsql security definer
set search_path = pg_catalog, pg_temp
-- Somebody who holds a lock on an instance of his must not hold a worker.
set lock_timeout = '10s'
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
    -- A cancel that was committed before the end wins over it; one that comes now waits for us (df.meet_the_end).
    select b.payload #>> '{}' into v_reason from df.inbox as b
    where b.instance_id = p_instance_id and b.kind = 'cancel' order by b.id limit 1;
    if found then
        v_status := 'cancelled';
    end if;
    perform df.show_nodes(p_instance_id, p_nodes);
    perform df.cancel_awaited(r) from df.runs as r
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
    -- Whoever awaits this instance goes on at once: same transaction, no polling.
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
comment on function df.worker_finish(text, uuid, text, text, jsonb, jsonb) is
    'Ends an instance for ever and wakes those who await it. Returns the status it ended with.';

create function df.version() returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select format('pgweave schema %s (installed %s)', max(m.number), to_char(max(m.applied_at), 'YYYY-MM-DD'))
    from df.migrations as m
$$;
comment on function df.version() is 'The version of this schema: the number of its newest migration, and when that ran.';

-- Builders and control functions stay with PUBLIC; USAGE on the schema is their gate. The workers' half does not.
revoke execute on function
    df.fence(text, uuid),
    df.checkpoint(text, text, integer[], text, jsonb, text, integer, timestamptz),
    df.worker_claim(text, integer, double precision),
    df.worker_renew(uuid[], jsonb, double precision),
    df.worker_beat(text, integer, text, integer),
    df.worker_gone(text),
    df.worker_load(text, uuid),
    df.worker_wait(text, uuid, jsonb),
    df.worker_settle(text, uuid),
    df.worker_decide(text, uuid, text, integer[], text, boolean, jsonb, jsonb),
    df.worker_record(text, uuid, text, integer[], text, text, integer, double precision),
    df.worker_cancelled(text[]),
    df.worker_run(text, uuid, text, integer[]),
    df.worker_fail(text, uuid, text, integer[], jsonb, text, integer, double precision),
    df.worker_park(text, uuid, bigint, jsonb, double precision),
    df.worker_release(text, uuid),
    df.worker_finish(text, uuid, text, text, jsonb, jsonb),
    df.awaited(df.runs), df.signalled(df.runs), df.show_leaf(text, text, text, jsonb), df.show_nodes(text, jsonb), df.cancel_waits(text, jsonb),
    df.cancel_awaited(df.runs)
from public;
