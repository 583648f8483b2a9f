-- What has ended is kept for a while. Workers call df.prune now and then.

create function df.prune(p_limit integer default 100) returns bigint
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    v_before timestamptz := df.clock() - make_interval(days => df.setting('retention_days')::integer);
    v_before_id text := '';
    v_surplus record;
    v_ids text[];
begin
    -- The newest of those that are too many.
    select i.completed_at, i.id into v_surplus from df.instances as i
    where i.completed_at is not null order by i.completed_at desc, i.id desc
    offset df.setting('retention_instances') limit 1;
    if v_surplus.completed_at >= v_before then
        v_before := v_surplus.completed_at;
        v_before_id := v_surplus.id;
    end if;
    -- Skip locked: whoever is just reading the end of an instance keeps it for this time.
    select array_agg(d.id) into v_ids from (
        select i.id from df.instances as i
        -- The first half is for the index, which has to be told that ended instances are meant.
        where i.completed_at <= v_before and (i.completed_at, i.id) <= (v_before, v_before_id)
          -- Somebody is about to read its result, or may still want to.
          and not exists (select from df.runs as r where r.awaited_id = i.id and r.status = 'waiting')
          and not exists (select from df.queue as q where q.instance_id = i.parent_instance_id)
        order by i.completed_at, i.id limit p_limit
        for update of i skip locked
    ) as d;
    delete from df.runs as r where r.instance_id = any (v_ids);
    delete from df.inbox as b where b.instance_id = any (v_ids);
    delete from df.nodes as n where n.instance_id = any (v_ids);
    delete from df.instances as i where i.id = any (v_ids);
    return coalesce(cardinality(v_ids), 0);
end $$;
comment on function df.prune(integer) is
    'Removes ended instances, the oldest first: those older than retention_days and those beyond the newest retention_instances. Kept are those that a live instance waits for or has started. Returns how many; so many at a time.';
revoke execute on function df.prune(integer) from public;
