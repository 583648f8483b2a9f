-- What may have killed a worker or a server is looked at apart, and what cannot be done now is put off.
--
-- A worker that dies takes the leases of several instances with it, a server that crashes the steps of many. Whose fault
-- it was nobody can say. So those it has happened to again and again go on one at a time, over all workers: the one that
-- is to blame comes to its limit by itself, and the others have their turn without it.
--
-- Workers that do not know this migration may run beside those that do.

create table df.quarantine (
    one boolean primary key default true constraint quarantine_one_row_chk check (one)
);
comment on table df.quarantine is 'One row. Whoever holds its lock may work on an instance that is suspected of killing workers or sessions.';
comment on column df.quarantine.one is 'True.';
insert into df.quarantine default values;

create function df.worker_quarantine() returns boolean
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    -- The lock lasts as long as the transaction. A machine that has gone silent must not keep it for ever.
    perform set_config('idle_in_transaction_session_timeout', '10min', true);
    perform from df.quarantine as s for update skip locked;
    return found;
end $$;
comment on function df.worker_quarantine() is
    'Whether the caller may work on a suspect, until its transaction ends: one may at a time.';

create function df.worker_put_off(
    p_instance_id text, p_token uuid, p_delay_seconds double precision, p_attempts integer default 0
) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    -- A lease that nobody has: until it runs out nobody takes the instance, and nothing that comes meanwhile is lost.
    update df.queue as q
    set leased_until = df.later(p_delay_seconds), token = gen_random_uuid(), worker = null,
        attempts = greatest(q.attempts - 1, p_attempts)
    where q.instance_id = p_instance_id and q.token = p_token;
    if not found then
        raise exception 'The lease on instance % is lost', p_instance_id using errcode = 'PWR01';
    end if;
end $$;
comment on function df.worker_put_off(text, uuid, double precision, integer) is
    'Gives the lease back because the work cannot be done now, which does not count as an attempt. p_attempts: but so many there were at least.';

revoke execute on function df.worker_quarantine(), df.worker_put_off(text, uuid, double precision, integer) from public;


-- Nodes that hold others kept the result of an earlier turn when their status was the same.

create or replace function df.show_nodes(p_instance_id text, p_nodes jsonb) returns void
language sql
set search_path = pg_catalog, pg_temp
as $$
    update df.nodes as n
    set status = s.status, updated_at = df.clock(), error = s.error, result = s.shown
    from (
        select r.id, r.status, r.error,
               case when r.status in ('completed', 'failed') then coalesce(df.as_jsonb(r.result), to_jsonb(r.error)) end as shown
        from jsonb_to_recordset(p_nodes) as r (id text, status text, result text, error text)
    ) as s
    where n.instance_id = p_instance_id and n.id = s.id
      and (n.status, n.error, n.result) is distinct from (s.status, s.error, s.shown)
$$;

-- And a long step was shown as running in the first turn only. p_running: from workers that know this migration also
-- the iteration and for how many seconds already.

create or replace function df.worker_renew(p_tokens uuid[], p_running jsonb, p_lease_seconds double precision) returns uuid[]
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_now constant timestamptz := df.clock();
    v_held uuid[];
begin
    with renewed as (
        update df.queue as q set leased_until = df.clock() + make_interval(secs => p_lease_seconds)
        where q.token = any (p_tokens) returning q.token
    )
    select coalesce(array_agg(r.token), '{}') into v_held from renewed as r;
    -- Steps that outlive a renewal become visible as running; shorter ones nobody can watch.
    update df.nodes as n
    set status = 'running', result = null, error = null, updated_at = df.clock(),
        status_details = case when s.iteration is null then n.status_details
                              else coalesce(n.status_details, '{}') || jsonb_build_object('iteration', s.iteration) end
    from jsonb_to_recordset(p_running) as s (instance_id text, node_id text, iteration jsonb, seconds double precision)
    where n.instance_id = s.instance_id and n.id = s.node_id
      -- What was shown before the step began is of an earlier turn; what came later is its own end.
      and (n.status = 'pending' or n.updated_at < v_now - make_interval(secs => s.seconds))
      and not exists (
          select from df.runs as r
          where r.instance_id = s.instance_id and r.node_id = s.node_id and to_jsonb(r.iteration) = s.iteration
      );
    return v_held;
end $$;
