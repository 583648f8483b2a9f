-- Starting, steering and asking. What runs here runs with the caller's rights and sees the caller's rows.

create function df.walk(p_graph jsonb) returns table (
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
comment on function df.walk(jsonb) is 'The nodes of a graph in pre-order, with the positions of their children.';

create function df.graph_problem(p_graph text) returns text
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
    v_max_depth constant bigint := df.setting('max_depth');
    v_max_nodes constant bigint := df.setting('max_nodes');
begin
    for v_node in select * from df.walk(p_graph::jsonb) as w order by w."position" loop
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
            when df.node_problem(v_node.node::json) is not null
                then 'failed to deserialize Durofut child: ' || df.node_problem(v_node.node::json)
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
        if v_message is not null then
            return v_node.path || ': ' || v_message;
        end if;
    end loop;
    return null;
end $$;
comment on function df.graph_problem(text) is 'What keeps a graph from being started, with the path of the node; null if nothing.';

create function df.node_id(p_base bigint, p_position integer) returns text
language sql immutable strict parallel safe
return lpad(to_hex((p_base + p_position) & 4294967295), 8, '0');
comment on function df.node_id(bigint, integer) is 'The id of the node at a position in pre-order, counted up from a base.';

create function df.row_query(p_query text, p_condition text, p_extra text[]) returns text
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
comment on function df.row_query(text, text, text[]) is
    'Text of a row''s query column: the ids of condition and further branches join the configuration.';

create function df.new_instance(p_root text, p_label text, p_database text, p_key text, out id text, out fresh boolean)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_in_workflow constant boolean := coalesce(current_setting('df.in_workflow', true), '') = 'true';
begin
    for attempt in 1..10 loop
        insert into df.instances (label, root_node, database, variables, parent_instance_id, parent_node_id, idempotency_key)
        select
            p_label, p_root, p_database,
            (select coalesce(jsonb_object_agg(v.name, v.value), '{}') from df.vars as v
             where v.owner = df.caller() and v.value is not null),
            -- Settings can be forged by the step's own SQL; a parent must be an instance the caller may see.
            (select i.id from df.instances as i where v_in_workflow and i.id = current_setting('df.instance_id', true)),
            (select n.id from df.nodes as n where v_in_workflow and n.instance_id = current_setting('df.instance_id', true)
             and n.id = current_setting('df.node_id', true)),
            p_key
        on conflict do nothing
        returning instances.id into new_instance.id;
        fresh := new_instance.id is not null;
        if not fresh and p_key is not null then
            -- Somebody with the same key came first, perhaps a moment ago.
            select i.id into new_instance.id from df.instances as i
            where i.submitted_by = df.caller() and i.idempotency_key = p_key;
        end if;
        exit when new_instance.id is not null;
    end loop;
    if new_instance.id is null then
        raise exception 'Failed to create instance: exhausted 10 attempts to generate a collision-free ID';
    end if;
end $$;
comment on function df.new_instance(text, text, text, text) is
    'Writes the row of a new instance, or finds the one with the same idempotency key; part of df.start.';

create function df.start(
    fut text, label text default null, database text default null, transaction_mode text default 'caller',
    idempotency_key text default null
) returns text
language plpgsql
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    v_graph text;
    v_problem text;
    v_instance record;
    v_max_bytes constant bigint := df.setting('max_graph_bytes');
    -- Node ids count up from a random start: unique within the graph without a look-up.
    v_base constant bigint := ('x' || substr(replace(gen_random_uuid()::text, '-', ''), 25, 8))::bit(32)::bigint;
begin
    if coalesce(lower(transaction_mode), '') not in ('caller', 'new') then
        raise exception 'invalid transaction_mode "%" for df.start(): expected ''caller'' or ''new''', transaction_mode
            using errcode = 'invalid_parameter_value';
    end if;
    if lower(transaction_mode) = 'new' then
        return df.start_apart(fut, label, database, idempotency_key);
    end if;
    if fut is null then
        raise exception 'Invalid durable function: it is NULL' using errcode = 'null_value_not_allowed',
            hint = 'An operator or a function with a NULL argument gives NULL.';
    end if;
    if octet_length(fut) > v_max_bytes then
        raise exception 'Invalid durable function: Workflow exceeds maximum size of % bytes.', v_max_bytes
            using errcode = 'program_limit_exceeded', hint = 'Keep the data in a table, or split it with df.call_child.';
    end if;
    if idempotency_key is not null then
        select i.id into v_instance from df.instances as i
        where i.submitted_by = df.caller() and i.idempotency_key = start.idempotency_key;
        if found then
            return v_instance.id;
        end if;
    end if;
    begin
        v_graph := df.ensure_durofut(fut, true);
    exception when invalid_parameter_value then
        raise exception 'Invalid durable function: %', sqlerrm using errcode = 'invalid_parameter_value';
    end;
    if database is not null and not exists (select from pg_database as d where d.datname = start.database) then
        raise exception 'database "%" does not exist', database using errcode = 'invalid_catalog_name';
    end if;
    perform df.refuse_submitter(df.caller());
    v_problem := df.graph_problem(v_graph);
    if v_problem is not null then
        raise exception 'Invalid durable function graph: %', v_problem using errcode = 'invalid_parameter_value';
    end if;

    select * into v_instance from df.new_instance(df.node_id(v_base, 0), label, database, idempotency_key);
    if v_instance.fresh then
        insert into df.nodes (id, instance_id, ordinal, node_type, query, result_name, left_node, right_node, database)
        select
            df.node_id(v_base, w."position"), v_instance.id, w."position", w.node ->> 'node_type',
            df.row_query(
                w.node ->> 'query', df.node_id(v_base, w.condition_position),
                array(select df.node_id(v_base, e.place) from unnest(w.extra_positions) with ordinality as e (place, rank)
                      order by e.rank)
            ),
            w.node ->> 'result_name', df.node_id(v_base, w.left_position), df.node_id(v_base, w.right_position),
            start.database
        from df.walk(v_graph::jsonb) as w;
    end if;
    return v_instance.id;
end $$;
comment on function df.start(text, text, text, text, text) is
    'Starts a workflow and returns its instance id. It takes effect if and only if the calling transaction commits. '
    'transaction_mode new: in a transaction of its own, by dblink. idempotency_key: the same role with the same key gets the same instance again.';

create function df.start_apart(p_fut text, p_label text, p_database text, p_key text) returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_schema text;
    v_session constant text := 'pgweave_' || gen_random_uuid();
    v_host text;
    v_conninfo text;
    v_function text;
    v_instance text;
begin
    if current_setting('df.in_workflow', true) = 'true' then
        raise exception 'df.start() with transaction_mode => ''new'' cannot be called inside a workflow - leave transaction_mode out'
            using errcode = 'object_not_in_prerequisite_state';
    end if;
    perform df.refuse_submitter(df.caller());
    select n.nspname into v_schema from pg_extension as e join pg_namespace as n on n.oid = e.extnamespace
    where e.extname = 'dblink';
    if not found then
        raise exception 'df.start() with transaction_mode => ''new'' needs the extension dblink, which database "%" does not have',
            current_database() using errcode = 'feature_not_supported',
            hint = 'CREATE EXTENSION dblink, or leave transaction_mode out: the start then is part of your transaction.';
    end if;
    begin
        -- Where the server listens is not for everybody to know; libpq's own default then has to do.
        v_host := btrim(split_part(current_setting('unix_socket_directories'), ',', 1), ' "');
    exception when insufficient_privilege then
        v_host := null;
    end;
    select string_agg(c.key || '=''' || replace(replace(c.value, '\', '\\'), '''', '\''') || '''', ' ') into v_conninfo
    from (values ('dbname', current_database()::text), ('user', current_user::text), ('port', current_setting('port')),
                 ('host', nullif(v_host, '')), ('application_name', 'pgweave new transaction'),
                 ('options', '-c lock_timeout=30s -c statement_timeout=30s')) as c (key, value)
    where c.value is not null;
    -- Only the first connects without a password, where the server admits that; it is for those who were granted it.
    v_function := case when has_function_privilege(format('%I.dblink_connect_u(text, text)', v_schema), 'execute')
                       then 'dblink_connect_u' else 'dblink_connect' end;
    begin
        execute format('select %I.%I($1, $2)', v_schema, v_function) using v_session, v_conninfo;
        execute format('select d.id from %I.dblink($1, $2) as d (id text)', v_schema) into v_instance
        using v_session, format('select df.start(%L, %L, %L, ''caller'', %L)', p_fut, p_label, p_database, p_key);
    exception when others then
        if v_session = any (coalesce(df.dblink_sessions(v_schema), '{}')) then
            execute format('select %I.dblink_disconnect($1)', v_schema) using v_session;
        end if;
        raise exception '%', case sqlstate
            when '55P03' then 'pgweave: transaction_mode => ''new'' launch hit lock_timeout after 30000ms while waiting on a lock in the loopback session: '
            when '57014' then 'pgweave: transaction_mode => ''new'' launch hit statement_timeout after 30000ms while running df.start() in the loopback session: '
            else 'df.start() on new transaction failed: ' end || sqlerrm using errcode = sqlstate;
    end;
    execute format('select %I.dblink_disconnect($1)', v_schema) using v_session;
    return v_instance;
end $$;
comment on function df.start_apart(text, text, text, text) is
    'df.start on a second session of the same role, committed whatever becomes of the caller''s transaction.';

create function df.dblink_sessions(p_schema text) returns text[]
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_sessions text[];
begin
    execute format('select %I.dblink_get_connections()', p_schema) into v_sessions;
    return v_sessions;
end $$;
comment on function df.dblink_sessions(text) is 'Names of the dblink sessions that this session has open.';

create function df.visible(p_instance_id text) returns text
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
comment on function df.visible(text) is 'Status of an instance the caller may see; an error for any other.';

create function df.status(instance_id text) returns text
language sql stable strict
set search_path = pg_catalog, pg_temp
as $$
    select case
        when i.status in ('pending', 'running') and exists (
            select from df.inbox as b where b.instance_id = i.id and b.kind = 'cancel'
        ) then 'cancelled'
        else i.status
    end
    from df.instances as i where i.id = status.instance_id
$$;
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
    v_status constant text := df.visible(instance_id);
begin
    if v_status in ('completed', 'failed', 'cancelled') then
        return format('Instance %s is already %s', instance_id, v_status);
    end if;
    insert into df.inbox (instance_id, kind, payload) values (cancel.instance_id, 'cancel', to_json(reason));
    return format('Instance %s cancelled: %s', instance_id, reason);
end $$;
comment on function df.cancel(text, text) is 'Ends an instance before its next step, if and when the calling transaction commits.';

create function df.signal(instance_id text, signal_name text, signal_data text default '{}') returns text
language plpgsql strict
set search_path = pg_catalog, pg_temp
as $$
declare
    v_payload json;
begin
    if instance_id = '' then
        raise exception 'Instance ID cannot be empty' using errcode = 'invalid_parameter_value';
    end if;
    if signal_name = '' then
        raise exception 'Signal name cannot be empty' using errcode = 'invalid_parameter_value';
    end if;
    if df.visible(instance_id) in ('completed', 'failed', 'cancelled') then
        return 'OK';
    end if;
    begin
        v_payload := signal_data::json;
        perform v_payload::jsonb;
    exception when invalid_text_representation or untranslatable_character then
        v_payload := to_json(signal_data);
    end;
    insert into df.inbox (instance_id, kind, name, payload) values (signal.instance_id, 'signal', signal_name, v_payload);
    return 'OK';
end $$;
comment on function df.signal(text, text, text) is
    'Sends a signal. It is kept until a wait of that name takes it, first in, first out.';

create function df.refuse_in_workflow(p_call text, p_advice text) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if current_setting('df.in_workflow', true) = 'true' then
        raise exception '%() cannot be called inside a workflow - %', p_call, p_advice
            using errcode = 'object_not_in_prerequisite_state';
    end if;
end $$;
comment on function df.refuse_in_workflow(text, text) is 'An error when a step of a workflow calls it.';

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
    perform df.refuse_in_workflow('df.wait_for_completion', 'use df.await_instance() as a step instead');
    if coalesce(timeout_seconds, 0) <= 0 then
        raise exception 'Timeout must be positive' using errcode = 'invalid_parameter_value';
    end if;
    loop
        -- Each look takes a snapshot of its own, so the end shows although one statement is waiting for it.
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

create function df.setvar(name text, value text) returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    perform df.refuse_in_workflow('df.setvar', 'set variables before starting the workflow');
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
as $$ select v.value from df.vars as v where v.owner = df.caller() and v.name = getvar.name $$;
comment on function df.getvar(text) is 'The present value of a variable, or null.';

create function df.unsetvar(name text) returns text
language plpgsql strict
set search_path = pg_catalog, pg_temp
as $$
begin
    perform df.refuse_in_workflow('df.unsetvar', 'manage variables before starting the workflow');
    delete from df.vars as v where v.owner = df.caller() and v.name = unsetvar.name;
    return 'OK';
end $$;
comment on function df.unsetvar(text) is 'Removes a variable of the calling role.';

create function df.clearvars() returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    perform df.refuse_in_workflow('df.clearvars', 'manage variables before starting the workflow');
    delete from df.vars as v where v.owner = df.caller();
    return 'OK';
end $$;
comment on function df.clearvars() is 'Removes all variables of the calling role.';

create function df.run(instance_id text default null) returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    perform pg_notify('pgweave', '');
    return coalesce('Triggered run for instance: ' || instance_id, 'Triggered run for all pending instances');
end $$;
comment on function df.run(text) is 'Rings for idle workers. Nothing needs it: what was started is run.';

create function df.target_database() returns text
language sql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$ select current_database()::text $$;
comment on function df.target_database() is 'Where steps run unless df.start names another database: the one that holds the df schema.';
