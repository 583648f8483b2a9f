-- HTTP steps: who may make them, which secrets they may send, and how often they were tried.
--
-- A request is made by a worker and cannot be part of a transaction, so it is made at least once: df.worker_request
-- says that it is about to be made, the worker makes it, df.worker_record or df.worker_fail says what came of it.
-- Every attempt sends the same idempotency key.

-- Off until granted: the network position of a worker is nobody's by default. Checked again when a step runs, because
-- nodes can be written by hand and privileges can be taken back.
revoke execute on function
    df.http(text, text, text, jsonb, integer), df.http_multipart(text, text, jsonb, jsonb, integer)
from public;

create table df.secrets (
    id bigint generated always as identity primary key,
    owner regrole not null default df.caller(),
    name text not null constraint secrets_name_chk check (name ~ '^[A-Za-z_][A-Za-z0-9_]*$'),
    value text constraint secrets_value_chk check (value !~ '[[:cntrl:]]' and length(value) between 1 and 8192),
    set_at timestamptz not null default df.clock()
);
comment on table df.secrets is
    'What {secret:name} stands for in headers of HTTP steps. People write it and cannot read it, their own included.';
comment on column df.secrets.id is 'The newest of a name counts.';
comment on column df.secrets.owner is 'The role whose workflows may send it.';
comment on column df.secrets.name is 'Letters, digits and underscores.';
comment on column df.secrets.value is 'Null: it has been unset. No line breaks: it becomes part of a header.';
comment on column df.secrets.set_at is 'When it was set.';
create index idx_secrets_name on df.secrets (owner, name, id);
alter table df.secrets enable row level security, force row level security;
create policy secrets_user_isolation on df.secrets for insert with check (owner = (select df.caller()));
create policy secrets_owner on df.secrets to current_user using (true) with check (true);
-- USAGE on the schema is the gate. Nobody can read; an update or upsert would have to, so a new value is a new row.
grant insert (name, value) on df.secrets to public;

create function df.replace_secret() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    delete from df.secrets as s where s.owner = new.owner and s.name = new.name and s.id < new.id;
    return null;
end $$;
comment on function df.replace_secret() is 'Forgets the values that a secret had before.';
create trigger replace_secret after insert on df.secrets for each row execute function df.replace_secret();
comment on trigger replace_secret on df.secrets is 'A new value takes the place of the old one.';

create function df.set_secret(name text, value text) returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    perform df.refuse_in_workflow('df.set_secret', 'its value would be kept with the step');
    if name is null or value is null then
        raise exception 'df.set_secret: name and value cannot be NULL' using errcode = 'null_value_not_allowed',
            hint = 'To remove a secret: SELECT df.unset_secret(name).';
    end if;
    if name !~ '^[A-Za-z_][A-Za-z0-9_]*$' then
        raise exception 'df.set_secret: the name has to match [a-zA-Z_][a-zA-Z0-9_]*'
            using errcode = 'invalid_parameter_value';
    end if;
    if value ~ '[[:cntrl:]]' or length(value) not between 1 and 8192 then
        raise exception 'df.set_secret: the value has to be 1 to 8192 characters without line breaks'
            using errcode = 'invalid_parameter_value';
    end if;
    insert into df.secrets (name, value) values (set_secret.name, set_secret.value);
    return 'OK';
end $$;
comment on function df.set_secret(text, text) is
    'Keeps a secret for headers of HTTP steps, written {secret:name}, in workflows that this role starts.';

create function df.unset_secret(name text) returns text
language plpgsql strict
set search_path = pg_catalog, pg_temp
as $$
begin
    insert into df.secrets (name, value) values (unset_secret.name, null);
    return 'OK';
end $$;
comment on function df.unset_secret(text) is 'Forgets a secret.';

create function df.may_request(p_role regrole, p_node_type text) returns boolean
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
comment on function df.may_request(regrole, text) is
    'Whether a role may have HTTP steps of this type: whether it may call the function that builds them.';

create function df.worker_request(
    p_instance_id text, p_token uuid, p_node_id text, p_iteration integer[], p_secrets text[]
) returns json
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_node df.nodes;
    v_attempts integer;
begin
    perform df.fence(p_instance_id, p_token);
    perform from df.runs as r
    where r.instance_id = p_instance_id and r.node_id = p_node_id and r.iteration = p_iteration;
    if found then
        raise exception 'Node % of instance % has run already', p_node_id, p_instance_id using errcode = 'PWR02';
    end if;
    perform from df.inbox as b where b.instance_id = p_instance_id and b.kind = 'cancel' and b.consumed_by is null;
    if found then
        raise exception 'Instance % is to be cancelled', p_instance_id using errcode = 'PWR05';
    end if;
    select n.* into v_node from df.nodes as n where n.instance_id = p_instance_id and n.id = p_node_id;
    if not df.may_request(v_node.submitted_by, v_node.node_type) then
        return json_build_object('allowed', false, 'attempts', 1, 'secrets', '{}'::json);
    end if;
    -- A node that is still running has been begun by a worker that did not come to the end.
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
comment on function df.worker_request(text, uuid, text, integer[], text[]) is
    'An HTTP request is about to be made: may it be, how often was it tried, and the secrets it names.';

revoke execute on function df.worker_request(text, uuid, text, integer[], text[]), df.replace_secret() from public;
