-- The limits, and small functions over text, JSON and time that the rest of the schema calls.

create function df_internal.setting(p_name text) returns bigint
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    return (select s.value from df.settings as s where s.name = p_name);
end $$;
comment on function df_internal.setting(text) is 'The value in force of one setting.';

create function df_internal.as_jsonb(p_json text) returns jsonb
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    return p_json::jsonb;
exception when untranslatable_character or numeric_value_out_of_range or program_limit_exceeded then
    -- json can spell the character NUL and the number 1e400000, and jsonb holds neither. df.runs keeps the exact result.
    return to_jsonb(p_json);
end $$;
comment on function df_internal.as_jsonb(text) is 'A result for the jsonb column of df.nodes, whatever it holds.';

create function df_internal.config_of(p_query text) returns jsonb
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    return case when jsonb_typeof(p_query::jsonb) = 'object' then p_query::jsonb else '{}' end;
exception when invalid_text_representation or untranslatable_character then
    return '{}';
end $$;
comment on function df_internal.config_of(text) is 'Configuration of a node; an empty object if its text is none.';

create function df_internal.shorten(p_text text, p_width integer) returns text
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$ select case when length(p_text) <= p_width then p_text else left(p_text, p_width - 3) || '...' end $$;
comment on function df_internal.shorten(text, integer) is 'A text cut to a number of characters; three dots say that there was more.';

create function df_internal.seconds_from_now(p_seconds double precision) returns timestamptz
language sql volatile
set search_path = pg_catalog, pg_temp
-- Beyond 1e11 seconds, some three thousand years, the interval could overflow.
as $$ select case when p_seconds > 1e11 then 'infinity' else df.clock() + make_interval(secs => p_seconds) end $$;
comment on function df_internal.seconds_from_now(double precision) is 'The time this many seconds from now; null for null.';

create function df_internal.fnv1a(p_parts text[]) returns text
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    -- The 64-bit state in two halves, so that no product leaves bigint: the prime is 2^40 + 435.
    v_high bigint := x'cbf29ce4'::bigint;
    v_low bigint := x'84222325'::bigint;
    v_bytes bytea;
    v_part text;
    v_product bigint;
begin
    foreach v_part in array p_parts loop
        v_bytes := convert_to(v_part, 'UTF8') || E'\\xff'::bytea;
        for i in 0..length(v_bytes) - 1 loop
            v_low := v_low # get_byte(v_bytes, i);
            v_product := v_low * 435;
            v_high := (v_high * 435 + (v_product >> 32) + (v_low << 8)) & 4294967295;
            v_low := v_product & 4294967295;
        end loop;
    end loop;
    return lpad(to_hex(v_high), 8, '0') || lpad(to_hex(v_low), 8, '0');
end $$;
comment on function df_internal.fnv1a(text[]) is 'FNV-1a, 64 bits, as 16 hexadecimal digits; each part is followed by one byte 0xff.';
