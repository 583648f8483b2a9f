"""Node rows -> results: the df schema, the worker that runs it, and the client that people and programs use.

    sql/         the schema `df` and the statements that Python sends (queries.sql)
    worker/      claims instances and runs them; http/: HTTP steps; server/: the embedded PostgreSQL
    client       start, watch, signal, cancel, results
    migrate      install, upgrade and remove the schema; enrolment: let a role take part
    target       which database a command means; connect: how every session begins; errors: what can go wrong
    queries      the statements of queries.sql by name

Nothing is imported here: importing one part must not pull in the others.
"""
