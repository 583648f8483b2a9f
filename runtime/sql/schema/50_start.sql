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
