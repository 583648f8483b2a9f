-- Asking and steering: status, result, cancel, signal, wait_for_completion; variables and secrets.
--
-- Functions here see the caller's rows only. df.cancel and df.signal insert into df.inbox and take no other lock, so an
-- open transaction of the caller never blocks a worker.

create function df_internal.require_instance(p_instance_id text) returns text
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
comment on function df_internal.require_instance(text) is 'Status of an instance the caller may see; an error for every other id.';

create function df_internal.shown_status(p_instance_id text, p_status text) returns text
language sql stable parallel safe
return case
    when p_status in ('pending', 'running') and exists (
        select from df.inbox as b where b.instance_id = p_instance_id and b.kind = 'cancel' and b.consumed_by is null
    ) then 'cancelled'
    else p_status
end;
comment on function df_internal.shown_status(text, text) is 'The status as people see it: a request to cancel counts at once.';

create function df.status(instance_id text) returns text
language sql stable strict
set search_path = pg_catalog, pg_temp
as $$ select df_internal.shown_status(i.id, i.status) from df.instances as i where i.id = status.instance_id $$;
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
    v_status constant text := df_internal.require_instance(instance_id);
begin
    if v_status in ('completed', 'failed', 'cancelled') then
        return format('Instance %s is already %s', instance_id, v_status);
    end if;
    insert into df.inbox (instance_id, kind, payload) values (cancel.instance_id, 'cancel', to_json(reason));
    return format('Instance %s cancelled: %s', instance_id, reason);
end $$;
comment on function df.cancel(text, text) is
    'Ends an instance before its next step, if and when the calling transaction commits. A notice at the commit says so if the instance has ended first.';

create function df.signal(instance_id text, signal_name text, signal_data text default '{}') returns text
language plpgsql strict
set search_path = pg_catalog, pg_temp
as $$
declare
    v_status text;
    v_payload json;
    v_names text[];
begin
    if instance_id = '' then
        raise exception 'Instance ID cannot be empty' using errcode = 'invalid_parameter_value';
    end if;
    if signal_name = '' then
        raise exception 'Signal name cannot be empty' using errcode = 'invalid_parameter_value';
    end if;
    v_status := df_internal.require_instance(instance_id);
    if v_status in ('completed', 'failed', 'cancelled') then
        raise exception 'Instance % is %; a signal does not reach it any more', instance_id, v_status
            using errcode = 'object_not_in_prerequisite_state';
    end if;
    begin
        v_payload := signal_data::json;
        perform v_payload::jsonb;
    exception when invalid_text_representation or untranslatable_character then
        v_payload := to_json(signal_data);
    end;
    insert into df.inbox (instance_id, kind, name, payload) values (signal.instance_id, 'signal', signal_name, v_payload);
    select array_agg(distinct df_internal.config_of(n.query) ->> 'signal_name') into v_names from df.nodes as n
    where n.instance_id = signal.instance_id and n.node_type = 'SIGNAL';
    if not coalesce(signal_name = any (v_names), false) then
        raise notice 'no step of instance % waits for a signal "%"', instance_id, signal_name
            using hint = 'It is kept. ' || coalesce('The steps wait for: ' || array_to_string(v_names, ', '), 'No step waits for a signal.');
    end if;
    return 'OK';
end $$;
comment on function df.signal(text, text, text) is
    'Sends a signal. It is kept until a wait of that name takes it, first in, first out. What a branch took that then loses its race goes back to its place and is taken by the next wait. An error if the instance has ended; a notice if no step waits for that name.';

create function df_internal.refuse_in_workflow(p_call text, p_advice text) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if current_setting('df.in_workflow', true) = 'true' then
        raise exception '%() cannot be called inside a workflow - %', p_call, p_advice
            using errcode = 'object_not_in_prerequisite_state';
    end if;
end $$;
comment on function df_internal.refuse_in_workflow(text, text) is 'An error when a step of a workflow calls it.';

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
    perform df_internal.refuse_in_workflow('df.wait_for_completion', 'use df.await_instance() as a step instead');
    if coalesce(timeout_seconds, 0) <= 0 then
        raise exception 'Timeout must be positive' using errcode = 'invalid_parameter_value';
    end if;
    loop
        -- A volatile function takes a new snapshot for each query, so the end is seen within this one statement.
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

create function df.run(instance_id text default null) returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    perform pg_notify('pgweave', '');
    return coalesce('Triggered run for instance: ' || instance_id, 'Triggered run for all pending instances');
end $$;
comment on function df.run(text) is 'Notifies idle workers. Nothing depends on it: whatever was started is run.';

create function df.version() returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select format('pgweave schema %s (installed %s)', max(m.number), to_char(max(m.applied_at), 'YYYY-MM-DD'))
    from df.migrations as m
$$;
comment on function df.version() is 'The version of this schema: the number of its newest migration, and when that ran.';

create function df.duroxide_schema() returns text
language sql immutable parallel safe
return 'df'::text;
comment on function df.duroxide_schema() is
    'Where the engine keeps its tables: df. For programs written for pg_durable, whose engine has a schema of its own.';

create function df.target_database() returns text
language sql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$ select current_database()::text $$;
comment on function df.target_database() is 'Where steps run unless df.start names another database: the one that holds the df schema.';

create function df_internal.accept_message() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_payload constant bigint := df_internal.setting('max_payload_bytes');
    v_signals constant bigint := df_internal.setting('max_signals');
begin
    if exists (select from arrived as a where octet_length(a.payload::text) > v_payload) then
        raise exception 'the payload exceeds the maximum of % bytes', v_payload using errcode = 'program_limit_exceeded',
            hint = 'Store the data in a table and send its key.';
    end if;
    if exists (
        select from (select distinct a.instance_id from arrived as a where a.kind = 'signal') as s
        where (select count(*) from (
            select from df.inbox as b where b.instance_id = s.instance_id and b.kind = 'signal' and b.consumed_by is null
            limit v_signals + 1
        ) as waiting) > v_signals
    ) then
        raise exception 'the instance has reached the maximum of % signals that wait to be taken', v_signals
            using errcode = 'configuration_limit_exceeded';
    end if;
    -- To an instance that has ended: no worker is to look at it.
    update df.inbox as b set seen = true from arrived as a
    where b.id = a.id and exists (
        select from df.instances as i where i.id = a.instance_id and i.status in ('completed', 'failed', 'cancelled')
    );
    perform pg_notify('pgweave', '');
    return null;
end $$;
comment on function df_internal.accept_message() is 'When signals or cancels arrive: checks the limits and notifies idle workers.';
create trigger notify_workers after insert on df.inbox referencing new table as arrived
    for each statement execute function df_internal.accept_message();
comment on trigger notify_workers on df.inbox is 'Limits, and a hint for idle workers.';

create function df_internal.mark_cancel_after_end() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_status text;
begin
    -- FOR SHARE waits for an end that is just being written; an end that comes later finds this request.
    perform from df.instances as i where i.id = new.instance_id for share;
    select i.status into v_status from df.instances as i where i.id = new.instance_id;
    if v_status in ('completed', 'failed', 'cancelled') then
        update df.inbox as b set seen = true where b.id = new.id;
        -- df.cancel has answered before; what it could not know is said now.
        if v_status <> 'cancelled' then
            raise notice 'Instance % is already %', new.instance_id, v_status;
        end if;
    end if;
    return null;
end $$;
comment on function df_internal.mark_cancel_after_end() is
    'When a cancel is committed: either the instance has ended before, or it ends cancelled.';
-- Deferred to the commit, so that a transaction left open after df.cancel does not block a worker. Cancels that a parent
-- sends to its children have a name and are left out: they are sent while the parent holds its own locks.
create constraint trigger mark_cancel_after_end after insert on df.inbox deferrable initially deferred
    for each row when (new.kind = 'cancel' and new.name is null) execute function df_internal.mark_cancel_after_end();
comment on trigger mark_cancel_after_end on df.inbox is 'A cancel and an end that race: exactly one wins.';

create function df_internal.refuse_change_after_end() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception 'Instance % is %; a finished instance never changes', old.id, old.status using errcode = 'PWR04';
end $$;
comment on function df_internal.refuse_change_after_end() is 'Refuses every change of an instance that has ended, our own mistakes included.';
create trigger refuse_change_after_end before update on df.instances for each row
    when (old.status in ('completed', 'failed', 'cancelled')) execute function df_internal.refuse_change_after_end();
comment on trigger refuse_change_after_end on df.instances is 'A terminal status is for ever.';

create function df.setvar(name text, value text) returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    perform df_internal.refuse_in_workflow('df.setvar', 'set variables before starting the workflow');
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
as $$ select v.value from df.vars as v where v.owner = df_internal.caller() and v.name = getvar.name $$;
comment on function df.getvar(text) is 'The present value of a variable, or null.';

create function df.unsetvar(name text) returns text
language plpgsql strict
set search_path = pg_catalog, pg_temp
as $$
begin
    perform df_internal.refuse_in_workflow('df.unsetvar', 'manage variables before starting the workflow');
    delete from df.vars as v where v.owner = df_internal.caller() and v.name = unsetvar.name;
    return 'OK';
end $$;
comment on function df.unsetvar(text) is 'Removes a variable of the calling role.';

create function df.clearvars() returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    perform df_internal.refuse_in_workflow('df.clearvars', 'manage variables before starting the workflow');
    delete from df.vars as v where v.owner = df_internal.caller();
    return 'OK';
end $$;
comment on function df.clearvars() is 'Removes all variables of the calling role.';

create function df.set_secret(name text, value text) returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    perform df_internal.refuse_in_workflow('df.set_secret', 'its value would be kept with the step');
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
comment on function df.unset_secret(text) is 'Removes a secret.';

create function df_internal.replace_secret() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    delete from df.secrets as s where s.owner = new.owner and s.name = new.name and s.id < new.id;
    return null;
end $$;
comment on function df_internal.replace_secret() is 'Removes the earlier values of a secret.';
create trigger replace_secret after insert on df.secrets for each row execute function df_internal.replace_secret();
comment on trigger replace_secret on df.secrets is 'A new value replaces the old one.';
