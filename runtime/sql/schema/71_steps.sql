-- A SQL step. Two sessions take part in running an instance: the worker's own, on which it leases, waits and decides
-- (75_worker), and one that is logged in as the submitting role, on which exec_node runs that role's SQL.
--
-- exec_node runs with the rights of the submitter. Its two SECURITY DEFINER halves check the lease and write the
-- checkpoint; both act for session_user only, which no SQL of a step can change.
--
-- SQLSTATEs that these functions raise: PWR01 the lease is lost, PWR02 the node-run has ended already, PWR03 the result
-- is too large, PWR04 the instance has ended already, PWR05 the instance is to be cancelled.

create function df_internal.fence(p_instance_id text, p_token uuid) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    -- FOR KEY SHARE: a take-over (for update) has to wait; wake-ups and renewals need not.
    perform from df.queue as q where q.instance_id = p_instance_id and q.token = p_token for key share;
    if not found then
        raise exception 'The lease on instance % is lost', p_instance_id using errcode = 'PWR01';
    end if;
end $$;
comment on function df_internal.fence(text, uuid) is 'Holds the lease until the transaction ends, or raises PWR01.';

create function df_internal.show_leaf(p_instance_id text, p_node_id text, p_result text, p_error jsonb) returns void
language sql
set search_path = pg_catalog, pg_temp
as $$
    update df.nodes as n
    set status = case when p_error is null then 'completed' else 'failed' end, updated_at = df.clock(),
        error = p_error ->> 'message', result = coalesce(df_internal.as_jsonb(p_result), to_jsonb(p_error ->> 'message'))
    where n.instance_id = p_instance_id and n.id = p_node_id
$$;
comment on function df_internal.show_leaf(text, text, text, jsonb) is 'Copies the end of a run to its node, for those who watch df.nodes.';

create function df_internal.checkpoint(
    p_instance_id text, p_node_id text, p_iteration integer[], p_result text, p_error jsonb, p_query text,
    p_attempts integer, p_started_at timestamptz, p_columns json default null
) returns timestamptz
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_finished_at constant timestamptz := df.clock();
begin
    -- Of two transactions that run the same step the second waits here for the first, and then must not commit.
    insert into df.runs (
        instance_id, node_id, iteration, status, result, columns, error, query, attempts, started_at, finished_at,
        submitted_by
    )
    select p_instance_id, p_node_id, p_iteration, case when p_error is null then 'completed' else 'failed' end,
           p_result::json, p_columns, p_error, p_query, p_attempts, p_started_at, v_finished_at, i.submitted_by
    from df.instances as i where i.id = p_instance_id
    on conflict (instance_id, node_id, iteration) do nothing;
    if not found then
        raise exception 'Node % of instance % has run already', p_node_id, p_instance_id using errcode = 'PWR02';
    end if;
    if current_setting('transaction_isolation') = 'read committed' then
        -- Progress: earlier leases without any no longer count.
        update df.queue as q set attempts = 1 where q.instance_id = p_instance_id and q.attempts > 1;
        perform df_internal.show_leaf(p_instance_id, p_node_id, p_result, p_error);
    end if;
    -- Else renewals that came after the snapshot would be conflicts, of every step that takes long: worker_shown does it.
    return v_finished_at;
end $$;
comment on function df_internal.checkpoint(text, text, integer[], text, jsonb, text, integer, timestamptz, json) is
    'Records the end of a node-run, once. Returns when that was.';

create function df_internal.step_begin(p_instance_id text, p_node_id text, p_iteration integer[], p_token uuid) returns xid8
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform df_internal.fence(p_instance_id, p_token);
    -- Only session_user can be trusted here: it is the login, which no SQL of the step can change.
    perform from df.instances as i
    where i.id = p_instance_id and i.submitted_by = quote_ident(session_user)::regrole
      and i.status not in ('completed', 'failed', 'cancelled');
    if not found then
        raise exception 'The lease on instance % is lost', p_instance_id using errcode = 'PWR01';
    end if;
    -- A session outlives the right to log in.
    perform df_internal.refuse_submitter(quote_ident(session_user)::regrole);
    perform from df.runs as r
    where r.instance_id = p_instance_id and r.node_id = p_node_id and r.iteration = p_iteration;
    if found then
        raise exception 'Node % of instance % has run already', p_node_id, p_instance_id using errcode = 'PWR02';
    end if;
    -- No step begins once a cancel is committed.
    perform from df.inbox as b where b.instance_id = p_instance_id and b.kind = 'cancel' and b.consumed_by is null;
    if found then
        raise exception 'Instance % is to be cancelled', p_instance_id using errcode = 'PWR05';
    end if;
    return pg_current_xact_id();
end $$;
comment on function df_internal.step_begin(text, text, integer[], uuid) is
    'First half of a step: lock and fence. Returns the transaction that has to finish it.';

create function df_internal.step_end(
    p_instance_id text, p_node_id text, p_iteration integer[], p_token uuid, p_transaction xid8, p_result text,
    p_query text, p_attempts integer, p_started_at timestamptz, p_columns json default null
) returns timestamptz
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if p_transaction is distinct from pg_current_xact_id() then
        raise exception 'The step of node % left its transaction', p_node_id using errcode = 'PWR01';
    end if;
    if current_setting('transaction_isolation') = 'read committed' then
        perform df_internal.fence(p_instance_id, p_token);
    end if;
    -- Else a renewal since the snapshot would be a conflict. The lock of the first half still holds: it is this transaction.
    perform from df.instances as i where i.id = p_instance_id and i.submitted_by = quote_ident(session_user)::regrole;
    if not found then
        raise exception 'The lease on instance % is lost', p_instance_id using errcode = 'PWR01';
    end if;
    return df_internal.checkpoint(
        p_instance_id, p_node_id, p_iteration, p_result, null, p_query, p_attempts, p_started_at, p_columns
    );
end $$;
comment on function df_internal.step_end(text, text, integer[], uuid, xid8, text, text, integer, timestamptz, json) is
    'Second half of a step: the checkpoint, in the transaction that did the work.';

create function df_internal.exec_node(
    p_instance_id text, p_node_id text, p_iteration integer[], p_token uuid, p_query text, p_attempts integer,
    p_max_bytes bigint, p_columns json default null, p_role text default null, out result text,
    out finished_at timestamptz
)
language plpgsql security invoker
-- No search_path of its own: the step has to see the submitter's. Hence every name below is qualified.
as $$
declare
    v_started_at constant pg_catalog.timestamptz := df.clock();
    v_transaction pg_catalog.xid8;
begin
    v_transaction := df_internal.step_begin(p_instance_id, p_node_id, p_iteration, p_token);
    perform pg_catalog.set_config('df.in_workflow', 'true', true);
    perform pg_catalog.set_config('df.instance_id', p_instance_id, true);
    perform pg_catalog.set_config('df.node_id', p_node_id, true);
    if p_role is not null then
        perform pg_catalog.set_config('role', p_role, true);
    end if;
    if pg_catalog.current_setting('default_transaction_read_only') OPERATOR(pg_catalog.=) 'on' then
        -- The statement is read-only, and the checkpoint after it is not: a subtransaction, which the handler makes of
        -- this block, gives the mode back when it ends.
        begin
            perform pg_catalog.set_config('transaction_read_only', 'on', true);
            result := df_internal.run_statement(p_query, p_max_bytes);
        exception when sqlstate 'PWR00' then
            raise;
        end;
    else
        result := df_internal.run_statement(p_query, p_max_bytes);
    end if;
    -- Whatever role the step has taken, by itself or by default: the second half is called as the login.
    perform pg_catalog.set_config('role', 'none', true);
    finished_at := df_internal.step_end(
        p_instance_id, p_node_id, p_iteration, p_token, v_transaction, result, p_query, p_attempts, v_started_at, p_columns
    );
end $$;
comment on function df_internal.exec_node(text, text, integer[], uuid, text, integer, bigint, json, text) is
    'One SQL step: fence, statement and checkpoint in one transaction and one round trip.';
