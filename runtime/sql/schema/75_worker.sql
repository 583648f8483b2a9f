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
