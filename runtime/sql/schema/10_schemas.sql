-- The df schema, version 1. The files of this folder are read, and run, in the order of their numbers:
--
--   10_schemas        this file: the life of an instance, the lock order, the two schemas, the clock
--   20_tables         what is stored, and every status with its transitions
--   30_values         limits, and small functions over text and JSON
--   40_builders       what workflows are composed with; 45_operators: the same as operators
--   50_start          df.start, and what is checked when rows of an instance arrive
--   60_control        status, result, cancel, signal; variables and secrets
--   70_run_statement  one statement run to its result; 71_steps: the same, fenced and checkpointed
--   75_worker         what a worker calls: claim, wait, settle, decide, finish
--   80_watching       lists and inferred states; 85_explain: df.explain
--   90_privileges     row-level security, who may call what, df.grant_usage
--
-- The life of an instance
--
--   start        df.start writes one row of df.instances, one of df.nodes per node and, by trigger, one of df.queue, all
--                in the caller's transaction. Rolled back: it never existed. Committed: it will run.
--   claim        A worker leases the instance: worker_claim writes a token and an end time into its row of df.queue.
--                Every later write names that token, so a worker that was paused past its lease is refused (fence).
--   steps        Each SQL step is one call of exec_node on a session of the submitting role: fence, statement and a row
--                of df.runs (the checkpoint) in one transaction. What comes next is decided from df.runs alone, so a
--                crash between two steps loses nothing.
--   waits        A sleep, signal, schedule or awaited instance is a row of df.runs with status 'waiting' and a due time,
--                a signal name or an instance id. When everything in an instance waits, worker_park gives the lease
--                back; ready_at says when the next timer is due. A waiting instance costs a worker nothing.
--   wake-ups     A signal or a cancel is a row of df.inbox; the end of an awaited instance raises queue.wakes. Either
--                makes the instance due, and worker_settle turns waits that are over into finished runs.
--   end          worker_finish sets a terminal status, deletes the queue row and wakes the instances that await this
--                one, in one transaction. A terminal status never changes. df.prune removes the rows after a while.
--
-- Lock order, in every function:
--   1. the instance's own row of df.queue
--   2. its row of df.instances
--   3. its rows of df.inbox, df.runs and df.nodes. Only holders of the lease write them, and no two sessions of one
--      worker write the same row, so these need no order among themselves.
--   4. the df.instances row of an instance that it awaits: FOR SHARE, or by a foreign key FOR KEY SHARE when it
--      cancels that instance
--   5. the df.queue rows of instances that await it, by instance id
-- worker_claim, worker_renew and df.prune lock rows of many instances; they skip those that are locked.
-- A step holds its queue row FOR KEY SHARE: its lease can be renewed meanwhile (an update of other columns), and a
-- take-over (FOR UPDATE SKIP LOCKED) passes it by.
--
-- Two schemas. df holds the tables and what people call. df_internal holds what those functions and the workers call.
-- Functions run with the rights of their caller (SECURITY INVOKER), and row-level security decides what they see; so
-- people need USAGE on df_internal as well, but may execute there only what df functions call on their behalf
-- (90_privileges). SECURITY DEFINER functions are listed, each with its reason, in tests/runtime/test_privileges.py.
--
-- Three habits:
--   search_path is fixed on every function, but for the three that run or evaluate SQL of the caller; in those every
--     name is qualified.
--   jit = off on functions with larger queries: compiling takes longer than running, a hundredfold where the server was
--     built with LLVM (df.start on PostgreSQL 15 as Debian has it: 80 ms against 0.5).
--   PL/pgSQL where a function is called often: before version 18 PostgreSQL plans a SQL function at every call. A body
--     that is one RETURN expression is the exception: it is inlined.
--
-- This file runs as the owner of both schemas. Operators (45_operators) go to the first schema of the search_path.

create schema df;
comment on schema df is 'Durable SQL workflows: graphs, their runs, and the functions that build, start and watch them.';
create schema df_internal;
comment on schema df_internal is 'What the functions of schema df and the workers call. It may change with every version.';

create table df.migrations (
    number integer primary key,
    name text not null,
    checksum text not null,
    applied_at timestamptz not null default clock_timestamp(),
    works_with integer
);
comment on table df.migrations is 'Which numbered versions of the schema have been installed here.';
comment on column df.migrations.number is 'The version.';
comment on column df.migrations.name is 'Its name.';
comment on column df.migrations.checksum is 'SHA-256 of its SQL: what was run is what this version of pgweave has.';
comment on column df.migrations.applied_at is 'When it was installed.';
comment on column df.migrations.works_with is
    'The oldest version whose workers and clients may go on, and start, beside it; null: none of an older version.';

create function df.clock() returns timestamptz
language plpgsql volatile parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    -- Any role can set this parameter; it counts only where the login is a superuser.
    if coalesce(current_setting('pgweave.fake_now', true), '') <> ''
       and (select r.rolsuper from pg_roles as r where r.rolname = session_user) then
        return current_setting('pgweave.fake_now')::timestamptz;
    end if;
    return clock_timestamp();
end $$;
comment on function df.clock() is
    'The only clock: clock_timestamp(), unless the session of a superuser sets pgweave.fake_now (for tests).';

create function df_internal.caller() returns regrole
language sql stable parallel safe
-- A RETURN body is bound to its objects when it is created, so no search_path has to be set at every call.
return quote_ident(current_user)::regrole;
comment on function df_internal.caller() is 'The role whose rows the caller may see: current_user, as regrole.';

create function df_internal.new_id() returns varchar
language sql volatile parallel safe
return right(replace(gen_random_uuid()::text, '-', ''), 8);
comment on function df_internal.new_id() is 'A random id of an instance: eight lower-case hexadecimal digits.';
