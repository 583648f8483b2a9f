-- What a chaos run writes beside the workflows themselves. Everything that has to be compared later is written in the
-- transaction that it speaks of, so that it is there if and only if that was committed, also after a failover.

create schema chaos;

create table chaos.programs (
    tag integer primary key,
    shape text not null,
    instance_id text not null,
    started_at timestamptz not null default clock_timestamp()
);

-- Without a unique key: a duplicate has to show.
create table chaos.fx (
    id bigint generated always as identity,
    tag integer not null,
    step text not null,
    turn integer not null,
    payload text,
    xid xid8 not null default pg_current_xact_id()
);
create index fx_id on chaos.fx (id);
create index fx_tag on chaos.fx (tag, step, turn);

-- Signals that were sent, with the place in the inbox.
create table chaos.sent (inbox_id bigint primary key, tag integer not null, instance_id text not null, payload text not null);

-- Cancels that were committed when the instance had not ended.
create table chaos.cancels (instance_id text not null);

-- Every change of a status, and what a terminal row was.
create table chaos.audit (
    id bigint generated always as identity,
    instance_id text not null,
    old_status text not null,
    new_status text not null,
    ended text
);
create index audit_id on chaos.audit (id);
create index audit_instance on chaos.audit (instance_id);

create function chaos.ended(i df.instances) returns text language sql immutable
return case when (i).status in ('completed', 'failed', 'cancelled')
            then md5(concat_ws('|', (i).status, (i).result, (i).error, (i).completed_at::timestamptz at time zone 'UTC')) end;

create function chaos.note() returns trigger language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if (old.status, old.completed_at) is distinct from (new.status, new.completed_at) or old.status in ('completed', 'failed', 'cancelled') then
        insert into chaos.audit (instance_id, old_status, new_status, ended)
        values (new.id, old.status, new.status, chaos.ended(new));
    end if;
    return null;
end $$;
create trigger chaos_audit after update on df.instances for each row execute function chaos.note();

create function chaos.mark(tag integer, step text, turn integer default 0, payload text default null) returns integer
language sql volatile security definer set search_path = pg_catalog, pg_temp
begin atomic
    insert into chaos.fx (tag, step, turn, payload) values (mark.tag, mark.step, mark.turn, mark.payload) returning turn;
end;

-- Commits in its middle, so it runs outside of the step's transaction, at least once.
create procedure chaos.settle(tag integer, step text) language plpgsql as $$
begin
    perform chaos.mark(tag, step);
    commit;
    perform chaos.mark(tag, step || '_rest');
end $$;

create role chaos_worker login;
create role app login;
create role web login;
create role mallory login;
grant usage on schema chaos to app, web, mallory;
grant insert, select on chaos.programs, chaos.sent, chaos.cancels to app, web, mallory;
select df.grant_usage('app'), df.grant_usage('web', include_http => true), df.grant_usage('mallory'), df.grant_worker('chaos_worker');
update df.settings set value = highest where name in ('retention_instances', 'retention_days');
update df.settings set value = 100000 where name = 'max_live_instances';
