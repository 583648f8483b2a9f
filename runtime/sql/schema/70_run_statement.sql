-- One statement run to its result, for steps. Steps in other databases, which have no df schema, use the same text as
-- temporary functions: the query make_step_runner puts pg_temp in the place of df_internal.

create function df_internal.encode_row(p_row record) returns text
language plpgsql
-- A result looks the same whatever the role, its database or the step has set, and reads back as the same value under
-- any of these settings: ISO dates, times in UTC, floats with all their digits.
set datestyle = 'ISO, YMD'
set intervalstyle = 'postgres'
set timezone = 'UTC'
set bytea_output = 'hex'
set extra_float_digits = 1
as $$
begin
    return pg_catalog.row_to_json(p_row)::pg_catalog.text;
end $$;

create function df_internal.run_statement(p_query text, p_max_bytes bigint) returns text
language plpgsql
-- No search_path of its own: the statement must see the submitter's. Hence every other name is qualified.
as $$
declare
    v_cursor pg_catalog.refcursor;
    v_record record;
    v_row pg_catalog.text;
    v_rows pg_catalog.text[] := '{}';
    v_bytes pg_catalog.int8 := 0;
    v_affected pg_catalog.int8 := 0;
    v_columns pg_catalog.text := '';
    v_result pg_catalog.text;
begin
    begin
        open v_cursor for execute p_query;
    exception when invalid_cursor_definition then
        -- A statement that returns no rows has no cursor. Nothing of it has run yet.
        v_cursor := null;
    end;
    if v_cursor is null then
        execute p_query;
        get diagnostics v_affected = row_count;
    else
        loop
            -- What is computed here, row by row, is computed under the settings of the step; only what is written down is not.
            fetch v_cursor into v_record;
            exit when not found;
            v_row := df_internal.encode_row(v_record);
            v_bytes := v_bytes OPERATOR(pg_catalog.+) pg_catalog.octet_length(v_row);
            if v_bytes OPERATOR(pg_catalog.>) p_max_bytes then
                raise exception 'The result is larger than % bytes', p_max_bytes using errcode = 'PWR03',
                    hint = 'Return fewer rows or columns: store the data in a table and return its key.';
            end if;
            v_rows := pg_catalog.array_append(v_rows, v_row);
        end loop;
        close v_cursor;
        if v_rows OPERATOR(pg_catalog.=) '{}' then
            -- Without rows the column names would be lost, and `$name.*` needs them. FETCH without a row gives NULLs.
            v_columns := pg_catalog.concat(',"columns":', (
                select pg_catalog.json_agg(k) from pg_catalog.json_object_keys(pg_catalog.row_to_json(v_record)) as k
            ));
        end if;
        v_affected := pg_catalog.cardinality(v_rows);
    end if;
    v_result := pg_catalog.concat(
        '{"rows":[', pg_catalog.array_to_string(v_rows, ','), '],"row_count":', pg_catalog.cardinality(v_rows),
        ',"rows_affected":', v_affected, v_columns, '}'
    );
    if pg_catalog.getdatabaseencoding() OPERATOR(pg_catalog.=) 'SQL_ASCII' then
        -- Such a database takes any bytes; a worker could not read a result that is not UTF-8, and no step after it could.
        perform pg_catalog.convert_from(pg_catalog.textsend(v_result), 'UTF8');
    end if;
    return v_result;
end $$;

comment on function df_internal.encode_row(record) is 'One row of a result as JSON, the same under all settings of a session.';
comment on function df_internal.run_statement(text, bigint) is
    'Runs one statement and returns its result as JSON: rows, row_count, rows_affected, and columns where there are no rows.';
