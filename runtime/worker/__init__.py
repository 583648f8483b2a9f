"""Rows -> results: claim an instance, ask `advance` what is next, run it on a session of its role, record it.

In the order in which an instance meets them:

    settings      how one worker behaves
    direct        at the start: is the connection a direct one, and what can this server do
    service       the worker: claim leases, keep them, give them back, stop
    drive         the work on one lease, from claim to park or end
    advance       pure: what is known of an instance -> what to do next
    activities    leaves: which are steps, and how a wait begins
    substitution  values into the text of a step
    step_threads  the threads on which branches run side by side, shared out between roles
    sql_step      one SQL step to its checkpoint (HTTP steps: `pgweave.runtime.http`)
    sessions      the sessions that steps run on, logged in as the submitting role
    store         the worker's half of the database: every statement it sends on its own sessions
    classify      what an error of the database means: wait, fail the step, fail the instance, stop
    cron_times    when a schedule fires next
    watchdog      ends connections that have gone silent
    telemetry     figures and spans for people who watch many workers
    failpoints    where tests kill a worker
"""
