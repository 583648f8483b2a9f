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
