-- The functions that people compose workflows with. Each returns a graph as JSON text ("Durofut"), byte for byte what
-- the compiler lowers the same program to: compact, keys in the order of df_internal.durofut, children carried verbatim.

create function df.node_types() returns text[]
language sql immutable parallel safe
return array['SQL', 'THEN', 'IF', 'JOIN', 'LOOP', 'BREAK', 'RACE', 'SLEEP', 'WAIT_SCHEDULE', 'HTTP', 'HTTP_MULTIPART',
             'SIGNAL', 'AWAIT_INSTANCE'];
comment on function df.node_types() is 'Every legal node_type, in the order in which messages list them.';

create function df_internal.durofut(
    p_node_type text, p_left text default null, p_right text default null, p_condition text default null,
    p_extra text[] default null, p_query text default null, p_result_name text default null
) returns text
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    return '{"node_type":' || to_json(p_node_type)::text
        || coalesce(',"left_node":' || p_left, '')
        || coalesce(',"right_node":' || p_right, '')
        || coalesce(',"condition_node":' || p_condition, '')
        || coalesce(',"extra_nodes":[' || nullif(array_to_string(p_extra, ','), '') || ']', '')
        || coalesce(',"query":' || to_json(p_query)::text, '')
        || coalesce(',"result_name":' || to_json(p_result_name)::text, '')
        || '}';
end $$;
comment on function df_internal.durofut(text, text, text, text, text[], text, text) is
    'Writes one node as compact JSON; absent parts are left out.';

create function df_internal.node_problem(p_node json) returns text
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    v_key text;
begin
    foreach v_key in array array['left_node', 'right_node'] loop
        if json_typeof(p_node -> v_key) not in ('object', 'null') then
            return 'Durofut children must be JSON objects';
        end if;
    end loop;
    if json_typeof(p_node -> 'condition_node') not in ('object', 'null') then
        return 'condition_node must be a Durofut JSON object';
    end if;
    if json_typeof(p_node -> 'extra_nodes') <> 'array' then
        return 'extra_nodes must be an array';
    end if;
    if json_typeof(p_node -> 'extra_nodes') = 'array' and exists (
        select from json_array_elements(p_node -> 'extra_nodes') as e (value) where json_typeof(value) <> 'object'
    ) then
        return 'extra_nodes entries must be Durofut JSON objects';
    end if;
    foreach v_key in array array['query', 'result_name'] loop
        if json_typeof(p_node -> v_key) not in ('string', 'null') then
            return v_key || ' must be a string';
        end if;
    end loop;
    select key into v_key from json_object_keys(p_node) as k (key)
    where key in ('node_type', 'left_node', 'right_node', 'condition_node', 'extra_nodes', 'query', 'result_name')
    group by key having count(*) > 1 limit 1;
    return 'duplicate field `' || v_key || '`';
end $$;
comment on function df_internal.node_problem(json) is 'What is wrong with the shape of one node, its children unopened; null if nothing.';

create function df_internal.ensure_durofut(p_fut text, p_strict boolean default false) returns text
language plpgsql immutable strict parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    v_json json;
    v_type text;
    v_problem text;
    -- Enough to tell what it is; patterns over a text of 100 MB would need four times its memory.
    v_start constant text := left(ltrim(p_fut, E' \t\n\r'), 60);
begin
    v_problem := case
        when p_fut in ('OK', 'pending', 'running', 'completed', 'failed', 'cancelled')
             or v_start ~ '^(Instance [0-9a-f]{8} (cancelled:|is already) |Triggered run for )'
            then 'is the answer of a df function, not a statement'
        when v_start ~ '^[0-9a-f]{8}$' then 'is the id of an instance, not a statement'
    end;
    if v_problem is not null then
        raise exception '''%'' %; it cannot be used as a workflow step', p_fut, v_problem
            using errcode = 'invalid_parameter_value',
                  hint = 'Call df.setvar() and the like before df.start(), or in a step: ''SELECT df.signal(..)''. df.await_instance(id) waits for an instance.';
    end if;
    -- Only a text that starts like an object can be a graph; everything else is SQL and need not be parsed.
    if v_start like '{%' then
        begin
            v_json := p_fut::json;
            v_type := case when json_typeof(v_json -> 'node_type') = 'string' then v_json ->> 'node_type' end;
        exception
            when invalid_text_representation or untranslatable_character then
                -- {name} is a variable, and a statement may begin with one. No statement begins with {".
                if v_start ~ E'^\\{[ \\t\\n\\r]*"' then
                    get stacked diagnostics v_problem = pg_exception_detail;
                    raise exception 'Invalid Durofut JSON: %', v_problem using errcode = 'invalid_parameter_value';
                end if;
                v_json := null;
            when statement_too_complex then
                raise exception 'Graph exceeds maximum nesting depth of 256.' using errcode = 'invalid_parameter_value';
        end;
    end if;
    if v_json is null then
        return df_internal.durofut('SQL', p_query => p_fut);
    end if;
    if v_json -> '_partial_if' is not null then
        raise exception 'A half-built if cannot be used as a workflow step'
            using errcode = 'invalid_parameter_value',
                  hint = 'Complete it with !> and the other branch; put parentheses around a branch that has operators of its own.';
    end if;
    if v_type is null then
        return df_internal.durofut('SQL', p_query => p_fut);
    end if;
    if v_type <> all (df.node_types()) then
        raise exception 'Unknown node_type ''%''. Valid types: %', v_type, array_to_string(df.node_types(), ', ')
            using errcode = 'invalid_parameter_value';
    end if;
    v_problem := df_internal.node_problem(v_json);
    if v_problem is not null then
        if p_strict then
            raise exception 'Malformed Durofut JSON with node_type ''%'': %', v_type, v_problem
                using errcode = 'invalid_parameter_value';
        end if;
        raise exception 'Invalid Durofut JSON: failed to deserialize workflow step: %', v_problem
            using errcode = 'invalid_parameter_value';
    end if;
    return p_fut;
end $$;
comment on function df_internal.ensure_durofut(text, boolean) is
    'df.ensure_durofut with a choice of wording: p_strict is the one of df.start and df.call_child.';

create function df.ensure_durofut(fut text) returns text
language plpgsql immutable strict parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    return df_internal.ensure_durofut(fut);
end $$;
comment on function df.ensure_durofut(text) is
    'A graph as it is; any other text as a SQL step. Half-built ifs, unknown node types and answers of df functions are refused.';

create function df.sql(query text) returns text
language plpgsql strict
set search_path = pg_catalog, pg_temp
as $$
begin
    return df_internal.durofut('SQL', p_query => query);
end $$;
comment on function df.sql(text) is 'A step that runs one SQL statement.';

create function df.seq(a text, b text) returns text
language plpgsql strict
set search_path = pg_catalog, pg_temp
as $$
begin
    return df_internal.durofut('THEN', df_internal.ensure_durofut(a), df_internal.ensure_durofut(b));
end $$;
comment on function df.seq(text, text) is 'First a, then b. Written a ~> b.';

create function df."as"(fut text, name text) returns text
language plpgsql strict
set search_path = pg_catalog, pg_temp
as $$
declare
    v_node json := df_internal.ensure_durofut(fut)::json;
    v_extra text[];
begin
    if name = '' then
        raise exception 'df.as: result name cannot be empty' using errcode = 'invalid_parameter_value';
    end if;
    if name !~ '^[a-zA-Z_][a-zA-Z0-9_]*$' then
        raise exception 'df.as: result name ''%'' is not a valid identifier — must match [a-zA-Z_][a-zA-Z0-9_]*', name
            using errcode = 'invalid_parameter_value';
    end if;
    if json_typeof(v_node -> 'extra_nodes') = 'array' then
        v_extra := array(select value::text from json_array_elements(v_node -> 'extra_nodes') as e (value));
    end if;
    return df_internal.durofut(
        v_node ->> 'node_type',
        nullif((v_node -> 'left_node')::text, 'null'),
        nullif((v_node -> 'right_node')::text, 'null'),
        nullif((v_node -> 'condition_node')::text, 'null'),
        v_extra,
        v_node ->> 'query',
        name
    );
end $$;
comment on function df."as"(text, text) is 'Names the result of a step, for $name in later steps. Written fut |=> name.';

create function df."join"(a text, b text) returns text
language plpgsql strict
set search_path = pg_catalog, pg_temp
as $$
begin
    return df_internal.durofut('JOIN', df_internal.ensure_durofut(a), df_internal.ensure_durofut(b));
end $$;
comment on function df."join"(text, text) is 'Runs both side by side and waits for both. Written a & b.';

create function df.join3(a text, b text, c text) returns text
language plpgsql strict
set search_path = pg_catalog, pg_temp
as $$
begin
    return df_internal.durofut(
        'JOIN', df_internal.ensure_durofut(a), df_internal.ensure_durofut(b),
        p_extra => array[df_internal.ensure_durofut(c)]
    );
end $$;
comment on function df.join3(text, text, text) is 'Runs three steps side by side and waits for all.';

create function df.race(a text, b text) returns text
language plpgsql strict
set search_path = pg_catalog, pg_temp
as $$
begin
    return df_internal.durofut('RACE', df_internal.ensure_durofut(a), df_internal.ensure_durofut(b));
end $$;
comment on function df.race(text, text) is 'Runs both side by side; the first to finish wins. Written a | b.';

create function df."if"(condition text, then_branch text, else_branch text) returns text
language plpgsql strict
set search_path = pg_catalog, pg_temp
as $$
begin
    return df_internal.durofut(
        'IF', df_internal.ensure_durofut(then_branch), df_internal.ensure_durofut(else_branch),
        df_internal.ensure_durofut(condition)
    );
end $$;
comment on function df."if"(text, text, text) is
    'Runs one of two branches by the truth of the condition''s result. Written condition ?> then !> else.';

create function df.if_rows(result_name text, then_branch text, else_branch text) returns text
language plpgsql strict
set search_path = pg_catalog, pg_temp
as $$
begin
    return df_internal.durofut(
        'IF', df_internal.ensure_durofut(then_branch), df_internal.ensure_durofut(else_branch),
        p_query => '{"condition_type":"result_has_rows","result_name":' || to_json(result_name)::text || '}'
    );
end $$;
comment on function df.if_rows(text, text, text) is 'Runs one of two branches: has the named result any rows?';

create function df.loop(body text, condition text default null, continue_on_failure boolean default false) returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if body is null then
        raise exception 'df.loop: the body cannot be NULL' using errcode = 'null_value_not_allowed';
    end if;
    if continue_on_failure is null then
        raise exception 'df.loop: continue_on_failure cannot be NULL' using errcode = 'null_value_not_allowed';
    end if;
    return df_internal.durofut('LOOP', df_internal.ensure_durofut(body), p_condition => df_internal.ensure_durofut(condition),
                               p_query => case when continue_on_failure then '{"continue_on_failure":true}' end);
end $$;
comment on function df.loop(text, text, boolean) is
    'Repeats the body: while the condition, tested after each turn, holds; for ever without one. Endless: @> body. With continue_on_failure a turn that fails in a step of SQL or a request is followed by the next, untested.';

create function df."break"(value text default null) returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    return df_internal.durofut('BREAK', p_query => '{"break_value":' || coalesce(to_json(value)::text, 'null') || '}');
end $$;
comment on function df."break"(text) is 'Leaves the nearest loop; the value becomes the result of the loop.';

create function df.sleep(seconds bigint) returns text
language plpgsql strict
set search_path = pg_catalog, pg_temp
as $$
begin
    if seconds < 0 then
        raise exception 'Sleep duration must be non-negative' using errcode = 'invalid_parameter_value';
    end if;
    return df_internal.durofut('SLEEP', p_query => seconds::text);
end $$;
comment on function df.sleep(bigint) is 'A pause of so many seconds.';

create function df_internal.cron_problem(p_cron text) returns text
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    v_fields text[] := regexp_split_to_array(btrim(p_cron, E' \t'), E'[ \\t]+');
    v_zone constant text := substring(v_fields[1] from '^CRON_TZ=(.*)$');
    v_names constant text[] := array['minute', 'hour', 'day of month', 'month', 'day of week'];
    v_low constant integer[] := array[0, 0, 1, 1, 0];
    v_high constant integer[] := array[59, 23, 31, 12, 7];
    v_words constant text[] := array['', '', '', 'jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec',
                                     'sun|mon|tue|wed|thu|fri|sat'];
    v_atom text;
    v_item text;
    v_number text;
begin
    if v_zone is not null then
        v_fields := v_fields[2:];
        -- By its full name: abbreviations and other cases, which AT TIME ZONE takes, mean nothing to those who wait.
        if not exists (select from pg_timezone_names where name = v_zone) then
            return format('there is no time zone ''%s''', v_zone);
        end if;
    end if;
    if cardinality(v_fields) <> 5 then
        return format('expected 5 fields (minute hour day-of-month month day-of-week), found %s', cardinality(v_fields));
    end if;
    for i in 1..5 loop
        v_atom := '([0-9]{1,2}' || case when v_words[i] = '' then '' else '|' || v_words[i] end || ')';
        foreach v_item in array string_to_array(lower(v_fields[i]), ',') loop
            if v_item !~ ('^([*]|' || v_atom || '(-' || v_atom || ')?)(/[1-9][0-9]?)?$') then
                return format('''%s'' is not a %s', v_item, v_names[i]);
            end if;
            for v_number in select m[1] from regexp_matches(split_part(v_item, '/', 1), '[0-9]+', 'g') as m loop
                if v_number::integer not between v_low[i] and v_high[i] then
                    return format('%s %s is outside of %s to %s', v_names[i], v_number, v_low[i], v_high[i]);
                end if;
            end loop;
        end loop;
    end loop;
    return null;
end $$;
comment on function df_internal.cron_problem(text) is
    'What is wrong with a five-field cron expression, with or without CRON_TZ=zone before it; null if nothing.';

create function df.wait_for_schedule(cron_expr text) returns text
language plpgsql strict
set search_path = pg_catalog, pg_temp
as $$
declare
    v_problem text := df_internal.cron_problem(cron_expr);
begin
    if v_problem is not null then
        raise exception 'Invalid cron expression ''%'': %', cron_expr, v_problem
            using errcode = 'invalid_parameter_value';
    end if;
    return df_internal.durofut('WAIT_SCHEDULE', p_query => '{"cron_expr":' || to_json(cron_expr)::text || '}');
end $$;
comment on function df.wait_for_schedule(text) is 'A pause until the next time that the cron expression names: five fields, in UTC unless CRON_TZ=zone stands before them.';

create function df.wait_for_signal(name text, timeout_seconds integer default null) returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if coalesce(name, '') = '' then
        raise exception 'Signal name cannot be empty' using errcode = 'invalid_parameter_value';
    end if;
    if timeout_seconds <= 0 then
        raise exception 'Timeout must be positive' using errcode = 'invalid_parameter_value';
    end if;
    return df_internal.durofut('SIGNAL', p_query => '{"signal_name":' || to_json(name)::text
        || ',"timeout_seconds":' || coalesce(timeout_seconds::text, 'null') || '}');
end $$;
comment on function df.wait_for_signal(text, integer) is
    'Waits for df.signal with this name. A timeout is a normal result, with timed_out true.';

create function df.await_instance(instance_id text, timeout_seconds integer default null) returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if coalesce(instance_id, '') = '' then
        raise exception 'Instance ID cannot be empty' using errcode = 'invalid_parameter_value';
    end if;
    if timeout_seconds <= 0 then
        raise exception 'Timeout must be positive' using errcode = 'invalid_parameter_value';
    end if;
    return df_internal.durofut('AWAIT_INSTANCE', p_query => '{"instance_id":' || to_json(instance_id)::text
        || ',"timeout_seconds":' || coalesce(timeout_seconds::text, 'null') || '}');
end $$;
comment on function df.await_instance(text, integer) is
    'Waits until another instance has ended; the result is {instance_id, status, result}. It fails unless that one completed.';

create function df.call_child(fut text, label text default null, options jsonb default null) returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_child text;
    v_problem text;
    v_key text;
    v_timeout jsonb := options -> 'timeout_seconds';
    v_database text := options ->> 'database';
    v_name text;
begin
    if fut is null then
        raise exception 'Invalid child durable function: it is NULL' using errcode = 'null_value_not_allowed';
    end if;
    begin
        v_child := df_internal.ensure_durofut(fut, true);
    exception when invalid_parameter_value then
        raise exception 'Invalid child durable function: %', sqlerrm using errcode = 'invalid_parameter_value';
    end;
    v_problem := df_internal.graph_problem(v_child);
    if v_problem is not null then
        raise exception 'Invalid child durable function graph: %', v_problem using errcode = 'invalid_parameter_value';
    end if;

    if jsonb_typeof(options) <> 'object' then
        raise exception 'df.call_child options must be a JSON object' using errcode = 'invalid_parameter_value';
    end if;
    select key into v_key from jsonb_object_keys(options) as k (key)
    where key not in ('timeout_seconds', 'database', 'on_failure', 'on_timeout', 'on_cancel') limit 1;
    if v_key is not null then
        raise exception
            'df.call_child: unsupported option ''%''. Supported options: timeout_seconds, database, on_failure, on_timeout, on_cancel',
            v_key using errcode = 'invalid_parameter_value';
    end if;
    v_problem := case
        when v_timeout is not null and (jsonb_typeof(v_timeout) <> 'number' or v_timeout::text !~ '^-?[0-9]+$')
            then 'df.call_child timeout_seconds must be an integer'
        when v_timeout::text::numeric not between 1 and 2147483647
            then 'df.call_child timeout_seconds must be between 1 and 2147483647'
        when jsonb_typeof(options -> 'database') <> 'string' then 'df.call_child database must be a string'
        when jsonb_typeof(options -> 'on_failure') <> 'string' then 'df.call_child on_failure must be a string'
        when options ->> 'on_failure' not in ('raise', 'return')
            then 'df.call_child on_failure must be ''raise'' or ''return'''
        when jsonb_typeof(options -> 'on_timeout') <> 'string' then 'df.call_child on_timeout must be a string'
        when options ->> 'on_timeout' not in ('raise', 'return')
            then 'df.call_child on_timeout must be ''raise'' or ''return'''
        when jsonb_typeof(options -> 'on_cancel') <> 'string' then 'df.call_child on_cancel must be a string'
        when options ->> 'on_cancel' not in ('leave', 'cancel')
            then 'df.call_child on_cancel must be ''leave'' or ''cancel'''
    end;
    if v_problem is not null then
        raise exception '%', v_problem using errcode = 'invalid_parameter_value';
    end if;

    v_name := '__df_call_child_' || df_internal.fnv1a(array[v_child, coalesce(label, ''), coalesce(v_database, '')]);
    -- In hex the child passes through the parent's substitution untouched: no $, no { and no quotes.
    return df_internal.durofut(
        'THEN',
        df_internal.durofut(
            'SQL',
            p_query => format(
                'SELECT df.start(convert_from(decode(''%s'', ''hex''), ''UTF8''), %s, %s) AS instance_id',
                encode(convert_to(v_child, 'UTF8'), 'hex'),
                coalesce('''' || replace(label, '''', '''''') || '''', 'NULL'),
                coalesce('''' || replace(v_database, '''', '''''') || '''', 'NULL')
            ),
            p_result_name => v_name
        ),
        df_internal.durofut('AWAIT_INSTANCE', p_query => concat(
            '{"instance_id":"$', v_name, '.instance_id","timeout_seconds":', coalesce(v_timeout::text, 'null'),
            case when options ->> 'on_failure' = 'return' then ',"on_failure":"return"' end,
            case when options ->> 'on_timeout' = 'return' then ',"on_timeout":"return"' end,
            case when options ->> 'on_cancel' = 'cancel' then ',"on_cancel":"cancel"' end,
            '}'
        ))
    );
end $$;
comment on function df.call_child(text, text, jsonb) is
    'Starts another instance and waits for its end. Options: timeout_seconds, database, on_failure (raise, return), on_timeout (raise, return), on_cancel (leave, cancel).';

create function df_internal.http_problem(p_url text, p_method text, p_timeout_seconds integer, p_methods text[]) returns text
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    return case
        -- A URL that begins with a placeholder is only known when the step runs, and checked there.
        when p_url !~ '[{$]' and lower(split_part(p_url, '://', 1)) not in ('http', 'https')
            then format('Blocked: unsupported URL scheme ''%s''. Only http and https are allowed.', split_part(p_url, '://', 1))
        when upper(p_method) <> all (p_methods)
            then format(
                case when cardinality(p_methods) = 5
                    then 'Invalid HTTP method: %s. Must be GET, POST, PUT, DELETE, or PATCH'
                    else 'Invalid HTTP method for multipart: %s. Must be POST, PUT, or PATCH' end, p_method)
        when p_timeout_seconds <= 0 then 'Timeout must be positive'
    end;
end $$;
comment on function df_internal.http_problem(text, text, integer, text[]) is
    'What is wrong with the fixed parts of an HTTP request; null if nothing.';

create function df.http(
    url text, method text default 'POST', body text default null, headers jsonb default null,
    timeout_seconds integer default 30
) returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_problem text := df_internal.http_problem(url, method, timeout_seconds, array['GET', 'POST', 'PUT', 'DELETE', 'PATCH']);
begin
    if url is null or method is null or timeout_seconds is null then
        raise exception 'df.http: url, method and timeout_seconds cannot be NULL' using errcode = 'null_value_not_allowed';
    end if;
    if v_problem is not null then
        raise exception '%', v_problem using errcode = 'invalid_parameter_value';
    end if;
    return df_internal.durofut('HTTP', p_query => '{"url":' || to_json(url)::text || ',"method":' || to_json(upper(method))::text
        || ',"body":' || coalesce(to_json(body)::text, 'null') || ',"headers":' || coalesce(headers::text, 'null')
        || ',"timeout_seconds":' || timeout_seconds::text || '}');
end $$;
comment on function df.http(text, text, text, jsonb, integer) is 'Makes an HTTP request.';

create function df.http_multipart(
    url text, method text default 'POST', parts jsonb default null, headers jsonb default null,
    timeout_seconds integer default 30
) returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_problem text := df_internal.http_problem(url, method, timeout_seconds, array['POST', 'PUT', 'PATCH']);
begin
    if url is null or method is null or timeout_seconds is null then
        raise exception 'df.http_multipart: url, method and timeout_seconds cannot be NULL'
            using errcode = 'null_value_not_allowed';
    end if;
    v_problem := coalesce(v_problem, case
        when parts is null then 'parts is required and cannot be NULL'
        when jsonb_typeof(parts) <> 'array' or jsonb_path_exists(parts, 'strict $[*] ? (@.type() <> "object")')
            then 'parts must be a JSON array of part objects'
        when parts = '[]' then 'parts must contain at least one part'
    end);
    if v_problem is not null then
        raise exception '%', v_problem using errcode = 'invalid_parameter_value';
    end if;
    return df_internal.durofut('HTTP_MULTIPART', p_query => '{"url":' || to_json(url)::text
        || ',"method":' || to_json(upper(method))::text || ',"parts":' || parts::text
        || ',"headers":' || coalesce(headers::text, 'null') || ',"timeout_seconds":' || timeout_seconds::text || '}');
end $$;
comment on function df.http_multipart(text, text, jsonb, jsonb, integer) is 'Makes a multipart HTTP request.';

-- Behind the operators (45_operators). Immutable, as people expect of an operator on constants.
create function df.as_op(fut text, name text) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    return df."as"(fut, name);
end $$;
comment on function df.as_op(text, text) is 'Behind fut |=> name.';

create function df.loop_prefix_op(body text) returns text
language plpgsql immutable strict set search_path = pg_catalog, pg_temp as $$
begin
    return df.loop(body);
end $$;
comment on function df.loop_prefix_op(text) is 'Behind @> body.';

create function df.if_then_op(condition text, then_branch text) returns text
language plpgsql immutable strict set search_path = pg_catalog, pg_temp
as $$
begin
    return '{"_partial_if":true,"condition":' || to_json(df_internal.ensure_durofut(condition))::text
        || ',"then_branch":' || to_json(df_internal.ensure_durofut(then_branch))::text || '}';
end $$;
comment on function df.if_then_op(text, text) is 'Behind condition ?> then: a half-built if, to be completed with !>.';

create function df.if_else_op(partial_if text, else_branch text) returns text
language plpgsql immutable strict
set search_path = pg_catalog, pg_temp
as $$
declare
    v_partial json;
begin
    begin
        v_partial := partial_if::json;
    exception when invalid_text_representation or untranslatable_character then
        v_partial := null;
    end;
    -- A graph with its own node_type is not a half-built if, whatever else it carries.
    if v_partial ->> '_partial_if' is distinct from 'true' then
        raise exception 'Invalid if-then-else: left side of !> must be a ?> expression'
            using errcode = 'invalid_parameter_value',
                  hint = 'Put parentheses around a branch that has operators of its own: c ?> (a ~> b) !> d.';
    end if;
    return df."if"(v_partial ->> 'condition', v_partial ->> 'then_branch', else_branch);
end $$;
comment on function df.if_else_op(text, text) is 'Behind !> else: completes a half-built if.';
