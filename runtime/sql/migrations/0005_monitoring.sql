-- Watching. Everything here runs with the caller's rights and shows the caller's rows, but for df.metrics.
--
-- What the rows say and what people ask are not the same: a node of the branch that was not taken is 'pending' for
-- ever in df.nodes, and one that a loop has left behind still shows its last turn. df.node_states infers the rest.

create function df.status_of(p_instance df.instances) returns text
language sql stable parallel safe
return case
    when p_instance.status in ('pending', 'running') and exists (
        select from df.inbox as b where b.instance_id = p_instance.id and b.kind = 'cancel' and b.consumed_by is null
    ) then 'cancelled'
    else p_instance.status
end;
comment on function df.status_of(df.instances) is 'The status as people see it: a request to cancel counts at once.';

create function df.output_of(p_instance df.instances) returns text
language sql stable parallel safe
return coalesce(p_instance.result::text, p_instance.error ->> 'message');
comment on function df.output_of(df.instances) is 'Result of a completed instance, message of any other that has ended.';

create function df.turn_of(p_instance df.instances) returns bigint
language sql stable parallel safe
return coalesce((
    select (r.result ->> 'turn')::bigint
    from df.runs as r join df.nodes as n on n.instance_id = r.instance_id and n.id = r.node_id and n.node_type = 'LOOP'
    where r.instance_id = p_instance.id and r.node_id = p_instance.root_node and r.iteration = '{}'
), 1);
comment on function df.turn_of(df.instances) is 'In which turn an instance is whose root is a loop; 1 for any other.';


create function df.config_of(p_query text) returns jsonb
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    return case when jsonb_typeof(p_query::jsonb) = 'object' then p_query::jsonb else '{}' end;
exception when invalid_text_representation or untranslatable_character then
    return '{}';
end $$;
comment on function df.config_of(text) is 'Configuration of a node; an empty object if its text is none.';


-- Lists.

create function df.check_limit(p_limit integer) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if coalesce(p_limit, 0) < 1 then
        raise exception 'limit_count must be at least 1' using errcode = 'invalid_parameter_value';
    end if;
    if p_limit > df.setting('list_instances_max_limit') then
        raise exception 'df.list_instances: limit_count (%) exceeds list_instances_max_limit (%); read further with after_cursor',
            p_limit, df.setting('list_instances_max_limit') using errcode = 'invalid_parameter_value';
    end if;
end $$;
comment on function df.check_limit(integer) is 'An error unless so many rows may be asked for at once.';

create function df.stored_statuses(p_status text) returns text[]
language sql immutable parallel safe
return case
    when p_status is null then array['pending', 'running', 'completed', 'failed', 'cancelled']
    when p_status = 'cancelled' then array['cancelled', 'pending', 'running']
    else array[p_status]
end;
comment on function df.stored_statuses(text) is
    'What is stored of an instance that people see in this status, or in any: something that an index knows.';

create function df.cursor_after(p_created_at timestamptz, p_id text) returns text
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
    select encode(convert_to(
        'v1|' || to_char(p_created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US') || '+00|' || p_id, 'UTF8'
    ), 'hex')
$$;
comment on function df.cursor_after(timestamptz, text) is 'Where a page of df.list_instances ends, as the text that asks for the next one.';

create function df.read_cursor(p_cursor text, out created_at timestamptz, out id text)
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    v_parts text[];
begin
    if length(p_cursor) <= 512 and p_cursor ~ '^([0-9a-f][0-9a-f])+$' then
        v_parts := regexp_match(
            convert_from(decode(p_cursor, 'hex'), 'UTF8'),
            '^v1\|(\d{4,6}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00)\|([0-9a-f]{8})$'
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
comment on function df.read_cursor(text) is 'What df.cursor_after wrote; an error for anything else.';

create function df.list_instances(status_filter text default null, limit_count integer default 100)
returns table (
    instance_id text, label text, function_name text, status text, execution_count bigint, output text
)
language plpgsql stable
set search_path = pg_catalog, pg_temp
set jit = off
as $$
begin
    perform df.check_limit(limit_count);
    return query
        select i.id::text, i.label, 'df.start'::text, df.status_of(i), df.turn_of(i), df.output_of(i)
        from df.instances as i
        where i.status = any (df.stored_statuses(status_filter))
          and (status_filter is null or df.status_of(i) = status_filter)
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
    perform df.check_limit(limit_count);
    select null::timestamptz as created_at, null::text as id into v_after;
    if after_cursor is not null then
        select * into v_after from df.read_cursor(after_cursor);
    end if;
    return query
        with found as (
            -- One more than asked for tells whether there is another page.
            select i.*::df.instances as instance, row_number() over (order by i.created_at desc, i.id) as place
            from df.instances as i
            where i.status = any (df.stored_statuses(status_filter))
              and (status_filter is null or df.status_of(i) = status_filter)
              and (label_filter is null or i.label = label_filter)
              and (v_after.created_at is null
                   or (i.created_at <= v_after.created_at and (i.created_at < v_after.created_at or i.id > v_after.id)))
            order by i.created_at desc, i.id limit limit_count + 1
        ),
        page as (select f.instance, f.place from found as f where f.place <= limit_count)
        select
            (p.instance).id::text, (p.instance).label, 'df.start'::text, df.status_of(p.instance), df.turn_of(p.instance),
            df.output_of(p.instance), (p.instance).created_at, (p.instance).completed_at,
            case when (select count(*) from found) > limit_count
                then (select df.cursor_after((l.instance).created_at, (l.instance).id) from page as l order by l.place desc limit 1)
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
    select i.id, i.label, 'df.start', i.format::text, df.turn_of(i), df.status_of(i), df.output_of(i)
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
            df.turn_of(i), initcap(df.status_of(i)),
            (select count(*) from df.runs as r where r.instance_id = i.id),
            coalesce((extract(epoch from i.completed_at - i.created_at) * 1000)::bigint, 0),
            df.output_of(i)
        from df.instances as i where i.id = instance_executions.instance_id;
end $$;
comment on function df.instance_executions(text, integer) is
    'How an instance is doing in its present turn. Turns that are over leave no history, so there is one row at most.';

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
        count(*) filter (where i.status = 'failed'), coalesce(sum(df.turn_of(i)), 0)::bigint,
        (select count(*) from df.runs)
    from df.instances as i
$$;
comment on function df.metrics() is 'Counts over the instances of all roles. Not for everybody: df.grant_usage(.., with_grant => true).';


-- Inside of one instance.

create function df.node_states(p_instance_id text) returns table (
    node_id text, parent_id text, iteration integer[], execution_id text, inferred_status text, from_ancestor_id text
)
language sql stable
set search_path = pg_catalog, pg_temp
set jit = off
as $$
    with recursive node as materialized (
        select n.id, n.node_type, n.status, n.updated_at, n.status_details -> 'iteration' as shown, e.parent_id,
               p.node_type as parent_type, n.node_type = 'LOOP' as loops, n.left_node is not null as holds
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
    -- From the root down: in which turn each node is now. inside: the same for what it holds. since: when that turn began.
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
                when not n.holds and n.node_type <> 'BREAK' then case
                    when r.status in ('completed', 'failed') then r.status
                    when r.status = 'waiting' then 'running'
                    when r.status is null and n.status = 'running'
                         and coalesce(n.shown = to_jsonb(p.iteration), 1 = all (p.iteration)) then 'running'
                    else 'pending'
                end
                -- The others are what was shown last, unless that was in an earlier turn.
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
    -- From the root down again: below a node that has ended nothing happens any more.
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
comment on function df.node_states(text) is
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
    from df.nodes as n left join df.node_states(instance_id_param) as s on s.node_id = n.id
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
        i.id, f.generation, i.parent_instance_id, i.parent_node_id, i.label, df.status_of(i), i.created_at, i.completed_at
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
            when 'SLEEP' then w.query || ' seconds'
            when 'WAIT_SCHEDULE' then df.config_of(w.query) ->> 'cron_expr' end),
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

create function df.cut(p_text text, p_width integer) returns text
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$ select case when length(p_text) <= p_width then p_text else left(p_text, p_width - 3) || '...' end $$;
comment on function df.cut(text, integer) is 'A text of so many characters at most; three dots say that there was more.';

create function df.called_child(p_node jsonb, out graph jsonb, out label text, out timeout_seconds text)
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    v_name constant text := p_node #>> '{left_node,result_name}';
    v_start constant text := p_node #>> '{left_node,query}';
    v_before constant text := 'SELECT df.start(convert_from(decode(''';
    v_after constant text := ''', ''hex''), ''UTF8''), ';
    v_wait constant jsonb := df.config_of(p_node #>> '{right_node,query}');
    v_hex text;
begin
    if p_node ->> 'node_type' = 'THEN' and v_name like '\_\_df\_call\_child\_%' and starts_with(v_start, v_before)
       and p_node #>> '{right_node,node_type}' = 'AWAIT_INSTANCE'
       and v_wait ->> 'instance_id' = '$' || v_name || '.instance_id' then
        v_hex := substr(v_start, length(v_before) + 1, strpos(substr(v_start, length(v_before) + 1), '''') - 1);
        label := substring(
            substr(v_start, length(v_before || v_hex || v_after) + 1) from '^''((?:[^'']|'''')*)'', '
        );
        label := replace(label, '''''', '''');
        timeout_seconds := v_wait ->> 'timeout_seconds';
        graph := df.ensure_durofut(convert_from(decode(v_hex, 'hex'), 'UTF8'))::jsonb;
    end if;
exception when data_exception then
    graph := null;
end $$;
comment on function df.called_child(jsonb) is 'What df.call_child was given, read from what it made; graph is null if the node is something else.';

create function df.node_text(p_node jsonb) returns text
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    v_type constant text := p_node ->> 'node_type';
    v_query constant text := p_node ->> 'query';
    v_config jsonb;
begin
    if v_type in ('SQL', 'SLEEP', 'THEN', 'IF', 'RACE') then
        return case v_type when 'SQL' then 'SQL: ' || df.cut(v_query, 50)
                           when 'SLEEP' then format('SLEEP %ss', v_query)
                           else v_type end;
    end if;
    v_config := df.config_of(v_query);
    return case v_type
        when 'WAIT_SCHEDULE' then format('WAIT ''%s''', v_config ->> 'cron_expr')
        when 'SIGNAL' then format('SIGNAL ''%s''', v_config ->> 'signal_name')
        when 'AWAIT_INSTANCE' then format('AWAIT_INSTANCE ''%s''', v_config ->> 'instance_id')
        when 'HTTP' then format('HTTP %s %s', upper(v_config ->> 'method'), df.cut(v_config ->> 'url', 40))
        when 'HTTP_MULTIPART' then format('HTTP_MULTIPART %s %s', upper(v_config ->> 'method'), df.cut(v_config ->> 'url', 40))
        when 'LOOP' then case when coalesce(p_node -> 'condition_node', 'null') = 'null' then 'LOOP (infinite)' else 'LOOP (while)' end
        when 'BREAK' then 'BREAK' || coalesce(' ''' || df.cut(v_config ->> 'break_value', 20) || '''', '')
        when 'JOIN' then format('JOIN (%s)', 2 + jsonb_array_length(coalesce(nullif(p_node -> 'extra_nodes', 'null'), '[]')))
        else v_type
    end || coalesce(' (' || case when v_type in ('SIGNAL', 'AWAIT_INSTANCE') then v_config ->> 'timeout_seconds' end || 's)', '');
end $$;
comment on function df.node_text(jsonb) is 'One node in the words of df.explain, without its name and status.';

create function df.sections(p_node jsonb) returns table (place integer, title text, child jsonb, last boolean)
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    v_type constant text := p_node ->> 'node_type';
    v_called record;
begin
    if v_type = 'THEN' then
        select * into v_called from df.called_child(p_node);
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
comment on function df.sections(jsonb) is 'What a node holds, in the order in which df.explain shows it.';

create function df.outline(p_graph jsonb) returns text
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
set jit = off
as $$
    -- connector: as given to a later step of a sequence, or what the place asks for. inner: what the node's own
    -- children begin with. A THEN has no line; its steps take its place.
    with recursive drawn (key, title, node, sequence, prefix, connector, inner_prefix, last) as (
        select array[]::integer[], null::text, p_graph, s.sequence, '', '', '    ', true
        from (select p_graph ->> 'node_type' = 'THEN' and (df.called_child(p_graph)).graph is null) as s (sequence)
        union all
        select
            d.key || c.place, case when c.title is not null then d.inner_prefix || c.title end, c.child, s.sequence,
            p.prefix, p.connector,
            case when p.connector = '→ ' or p.prefix = '' or p.last then p.prefix || '    ' else p.prefix || '│   ' end,
            p.last
        from drawn as d
        cross join lateral df.sections(d.node) as c
        cross join lateral (
            select c.child ->> 'node_type' = 'THEN' and (df.called_child(c.child)).graph is null
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
                select case when c.graph is null then df.node_text(d.node)
                            else concat('CALL_CHILD', ' ''' || c.label || '''', ' (' || c.timeout_seconds || 's)') end
                from df.called_child(d.node) as c
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
comment on function df.outline(jsonb) is 'Draws a graph. Nodes may carry a "marker" to be shown behind them.';

create function df.live_graph(p_instance_id text) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    v_node record;
    v_json text[];
    v_extra text[];
begin
    -- Children come later in the order than what holds them, so they are written first.
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
        left join df.node_states(p_instance_id) as s on s.node_id = n.id
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
        v_json[v_node.place] := left(df.durofut(
            v_node.node_type,
            v_json[v_node.places[array_position(v_node.branches, 1)]],
            v_json[v_node.places[array_position(v_node.branches, 2)]],
            v_json[v_node.places[array_position(v_node.branches, 3)]],
            v_extra, v_node.query, v_node.result_name
        ), -1) || ',"marker":"' || v_node.marker || '"}';
    end loop;
    return v_json[1]::jsonb;
end $$;
comment on function df.live_graph(text) is 'The graph of an instance as one tree, with markers of what each node is now.';

create function df.explain_instance(p_instance_id text) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    v_instance df.instances;
    v_status text;
begin
    select i.* into v_instance from df.instances as i where i.id = p_instance_id;
    if v_instance.id is null then
        return format('Instance ''%s'' not found', p_instance_id);
    end if;
    v_status := df.status_of(v_instance);
    return concat(
        'Instance: ', v_instance.id, ' (' || v_instance.label || ')', E'\n',
        'Status:   ', case v_status when 'completed' then '✓' when 'running' then '⏳' when 'pending' then '○' else '✗' end,
        ' ', initcap(v_status), E'\n',
        'Output:   ' || df.cut(df.output_of(v_instance), 60) || E'\n',
        E'\n', df.outline(df.live_graph(p_instance_id))
    );
end $$;
comment on function df.explain_instance(text) is 'df.explain of an instance.';

create function df.explain_graph(p_text text) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    v_problem text;
    v_detail text;
begin
    v_problem := 'Invalid durable function graph: ' || df.graph_problem(p_text);
    return coalesce(v_problem, df.outline(p_text::jsonb));
exception when invalid_text_representation or untranslatable_character or statement_too_complex then
    get stacked diagnostics v_detail = pg_exception_detail;
    return 'Failed to parse Durofut JSON: ' || coalesce(nullif(v_detail, ''), sqlerrm);
end $$;
comment on function df.explain_graph(text) is 'df.explain of a graph.';

create function df.explain_kind(p_input text) returns text
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
    select case
        when p_input ~ '^[0-9a-fA-F]{8}$' then 'instance'
        when p_input like '{%' then 'graph'
        -- An expression cannot begin with a verb, and a statement with nothing else: no marker needs to be searched for.
        when p_input ~* '^(select|insert|update|delete|merge|with|values|table|create|alter|drop|call|do|truncate|grant|revoke|explain|vacuum|refresh|copy|set|lock|analyze)\M'
            then 'statement'
        when p_input ~* '^(''|\$|\(|@>|df\.|e''|u&''|")' then 'expression'
        else 'unknown'
    end
$$;
comment on function df.explain_kind(text) is 'What the input of df.explain is: instance, graph, statement, expression or unknown.';

create function df.explain(input text) returns text
language plpgsql strict
-- No search_path of its own: operators and functions of the expression are found as the caller finds them. Hence every
-- name below is qualified.
as $$
declare
    v_input constant text := pg_catalog.btrim(input, E' \t\n\r;');
    v_kind constant text := df.explain_kind(v_input);
    v_graph text;
begin
    if v_kind OPERATOR(pg_catalog.=) 'instance' then
        return df.explain_instance(pg_catalog.lower(v_input));
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
    if df.explain_kind(pg_catalog.ltrim(v_graph, E' \t\n\r')) OPERATOR(pg_catalog.<>) 'graph' then
        v_graph := df.ensure_durofut(v_graph);
    end if;
    return df.explain_graph(v_graph);
end $$;
comment on function df.explain(text) is
    'Draws a workflow without starting it, or an instance with the state of each node: ✓ completed, ✗ failed, ⏳ running, ○ pending, ⊘ skipped. The functions of an expression are called with the rights of the caller, and what they did is undone.';
