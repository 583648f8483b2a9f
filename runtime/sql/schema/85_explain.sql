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
