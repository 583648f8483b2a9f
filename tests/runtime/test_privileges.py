"""Who may do what: real roles on real servers, an owner who is no superuser, and roles that attack each other.

The promise: one role can neither see, learn of, signal, cancel nor complete another's instance, and the SQL of
a role never runs as another role.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import psycopg
import pytest
from support.checker import check
from support.role_database import ANN, BOB, EVE, HOSTILE, OWNER, WORKER

from pgweave.runtime.client import Client
from pgweave.runtime.errors import InstanceNotFound
from pgweave.runtime.worker.classify import LEASE_LOST

if TYPE_CHECKING:
    from support.role_database import RoleDatabase

# Every function that runs with the rights of the owner, and why it has to. Adding one is a decision: think, then list it.
DEFINERS = {
    "check_graph": "trigger: sees the whole graph, whoever inserted it",
    "mark_cancel_after_end": "trigger: locks the instance, so that a cancel and an end cannot cross",
    "enqueue": "trigger: writes df.queue, which nobody else may",
    "accept_message": "trigger: counts what waits in an inbox",
    "replace_secret": "trigger: deletes rows that their owner may not even read",
    "metrics": "counts instances of all roles; execute is granted, not public",
    "prune": "deletes what has ended; for workers",
    "connect_as_owner_of": "opens a session as the role that wrote a row, which row-level security sees to",
    "step_begin": "locks the lease; acts for session_user only",
    "step_end": "writes the checkpoint; acts for session_user only",
}
FOR_EVERYBODY = {"step_begin", "step_end", "connect_as_owner_of"}  # fenced by token and session_user, or see above


# What is there.


def test_every_function_with_the_owners_rights_is_known(any_database: str) -> None:
    with psycopg.connect(any_database) as connection:
        rows = connection.execute(
            "select proname from pg_proc where pronamespace in ('df'::regnamespace, 'df_internal'::regnamespace) and prosecdef"
        ).fetchall()
    found = {row[0] for row in rows}
    assert {name for name in found if not name.startswith("worker_")} == DEFINERS.keys()


def test_only_these_are_for_everybody(any_database: str) -> None:
    with psycopg.connect(any_database) as connection:
        rows = connection.execute(
            "select proname from pg_proc as p, aclexplode(coalesce(proacl, acldefault('f', proowner))) as a"
            " where pronamespace in ('df'::regnamespace, 'df_internal'::regnamespace) and prosecdef and a.grantee = 0"
        ).fetchall()
    assert {row[0] for row in rows} == FOR_EVERYBODY


FUNCTIONS = """
select n.nspname || '.' || p.proname, p.oid::regprocedure::text, p.prosecdef,
       coalesce(pg_get_function_sqlbody(p.oid), p.prosrc),
       exists (select from aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) as a where a.grantee = 0)
from pg_proc as p join pg_namespace as n on n.oid = p.pronamespace and n.nspname in ('df', 'df_internal')
"""
EXPRESSIONS = """
select pg_get_expr(d.adbin, d.adrelid) from pg_attrdef as d join pg_class as c on c.oid = d.adrelid
where c.relnamespace = 'df'::regnamespace
union all select concat(qual, ' ', with_check) from pg_policies where schemaname = 'df'
union all select pg_get_viewdef(oid) from pg_class where relnamespace = 'df'::regnamespace and relkind = 'v'
"""
# Not for everybody: the first four are for the owner, the others need a grant of their own or are for workers.
OF_DF_NOT_FOR_EVERYBODY = {
    "df.grant_usage", "df.revoke_usage", "df.grant_worker", "df.revoke_worker",
    "df.metrics", "df.prune", "df.http", "df.http_multipart",
}  # fmt: skip


def test_of_df_internal_people_may_execute_what_is_called_with_their_rights_and_nothing_else(any_database: str) -> None:
    """Called by functions of df, by a default or a policy, or by the worker on their own session; from there on down."""
    with psycopg.connect(any_database) as connection:
        rows = connection.execute(FUNCTIONS.encode()).fetchall()
        expressions = [row[0] for row in connection.execute(EXPRESSIONS.encode())]
    by_name: dict[str, list[tuple[str, bool, str, bool]]] = {}
    for name, *row in rows:
        by_name.setdefault(name, []).append(tuple(row))

    def called(text: str) -> set[str]:
        return by_name.keys() & {
            match[1].replace('"', "") for match in re.finditer(r'\b((?:df|df_internal)\."?\w+"?) *\(', text)
        }

    found: set[str] = set()
    owners = {"df.grant_usage", "df.revoke_usage", "df.grant_worker", "df.revoke_worker"}
    queue = {name for name in by_name if name.startswith("df.")} - owners | {"df_internal.exec_node"}
    queue |= called(" ".join(expressions))
    while queue:
        name = queue.pop()
        found.add(name)
        for _, definer, source, _ in by_name[name]:
            queue |= set() if definer else called(source) - found
    for_everybody = {name for name, overloads in by_name.items() if any(public for *_, public in overloads)}
    assert for_everybody == found - OF_DF_NOT_FOR_EVERYBODY
    assert "df_internal.step_end" in for_everybody


def test_what_people_may_not_call_in_df_internal_is_denied_to_them_and_to_strangers(db: RoleDatabase) -> None:
    for statement in (
        "select df_internal.fence('00000000', gen_random_uuid())",
        "select df_internal.checkpoint('00000000', '00000000', '{}', '1', null, 'x', 1, now())",
        "select df_internal.show_nodes('00000000', '[]')", "select df_internal.worker_functions()",
    ):  # fmt: skip
        for role in (ANN, WORKER, EVE):
            db.denied(role, statement)
    db.denied(EVE, "select df_internal.caller()")
    assert db.one(ANN, "select df_internal.caller()::text") == ANN


def test_usage_of_both_schemas_comes_and_goes_together(db: RoleDatabase) -> None:
    asked = "select has_schema_privilege(%s, 'df', 'usage'), has_schema_privilege(%s, 'df_internal', 'usage')"
    for grant, revoke in (("grant_usage", "revoke_usage"), ("grant_worker", "revoke_worker")):
        assert db.sql(None, asked, EVE, EVE) == [(False, False)]
        db.sql(OWNER, f"select df.{grant}('eve')")
        assert db.sql(None, asked, EVE, EVE) == [(True, True)]
        db.sql(OWNER, f"select df.{revoke}('eve')")
    assert db.sql(None, asked, EVE, EVE) == [(False, False)]


def test_no_function_with_the_owners_rights_asks_who_the_caller_is(any_database: str) -> None:
    """Inside it current_user is the owner, so the answer would always be wrong."""
    with psycopg.connect(any_database) as connection:
        rows = connection.execute(
            "select proname from pg_proc where pronamespace in ('df'::regnamespace, 'df_internal'::regnamespace) and prosecdef"
            r" and (prosrc ~ 'df_internal\.caller\(' or prosrc ~ '\mcurrent_(user|role)\M')"
        ).fetchall()
    assert rows == []


def test_every_table_that_people_may_read_or_write_has_row_security_forced(db: RoleDatabase) -> None:
    open_to_all = {"settings", "migrations", "edges"}  # rows of nobody, and a view with its reader's rights
    rows = db.sql(
        None,
        "select relname, relrowsecurity and relforcerowsecurity from pg_class where relnamespace = 'df'::regnamespace"
        " and relkind in ('r', 'v') and (has_any_column_privilege(%s, oid, 'select, insert, update')"
        " or has_table_privilege(%s, oid, 'delete, truncate'))", ANN, ANN,
    )  # fmt: skip
    assert {name for name, forced in rows if not forced} == open_to_all
    assert {name for name, _ in rows} == open_to_all | {
        "instances", "nodes", "runs", "inbox", "vars", "secrets", "wanted_sessions"
    }  # fmt: skip
    assert db.one(None, "select reloptions from pg_class where oid = 'df.edges'::regclass") == ["security_invoker=true"]


def test_people_may_write_these_columns_and_no_others(db: RoleDatabase) -> None:
    rows = db.sql(
        None,
        "select c.relname, a.attname, p.privilege from pg_class as c join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0,"
        " unnest(array['insert', 'update']) as p (privilege)"
        " where c.relnamespace = 'df'::regnamespace and c.relkind in ('r', 'v')"
        " and has_column_privilege(%s, c.oid, a.attnum, p.privilege)", ANN,
    )  # fmt: skip
    found: dict[str, set[str]] = {}
    for table, column, privilege in rows:
        found.setdefault(f"{privilege} {table}", set()).add(column)
    assert found == {
        "insert instances": {"label", "root_node", "database", "variables", "given", "parent_instance_id", "parent_node_id", "idempotency_key"},
        "insert nodes": {"id", "instance_id", "ordinal", "node_type", "query", "result_name", "left_node", "right_node", "database"},
        "insert inbox": {"instance_id", "kind", "name", "payload"},
        "insert vars": {"name", "value", "owner"},
        "update vars": {"name", "value", "owner"},
        "insert secrets": {"name", "value"},
        "insert wanted_sessions": {"name"},
    }  # fmt: skip


# Two neighbours.

ABOUT_AN_INSTANCE = (
    "select df.status(%s)",
    "select df.result(%s)",
    "select df.signal(%s, 'go')",
    "select df.cancel(%s)",
    "select df.wait_for_completion(%s, 1)",
    "select df.explain(%s)",
    "select * from df.instance_info(%s)",
    "select * from df.instance_nodes(%s)",
    "select * from df.instance_nodes(%s, 1)",
    "select * from df.instance_runs(%s)",
    "select * from df.instance_family(%s)",
    "select * from df.instance_executions(%s)",
    "select * from df_internal.node_states(%s)",
    "select * from df.waiting(%s)",
    "select * from df.edges where instance_id = %s",
    "select id from df.instances where id = %s",
    "select id from df.nodes where instance_id = %s",
    "select node_id from df.runs where instance_id = %s",
    "select id from df.inbox where instance_id = %s",
    "insert into df.inbox (instance_id, kind) values (%s, 'cancel')",
    "insert into df.instances (root_node, parent_instance_id) values ('00000000', %s)",
    "insert into df.nodes (id, instance_id, ordinal, node_type, query) values ('00000000', %s, 0, 'SQL', 'x')",
    "select df_internal.live_graph(%s)",
)


def answer(db: RoleDatabase, role: str, statement: str, instance_id: str) -> str:
    """Rows, or what the error says, with the id taken out of it."""
    try:
        found = repr(db.sql(role, statement.replace("%s", f"'{instance_id}'")))
    except psycopg.Error as error:
        found = f"{error.sqlstate} {error.diag.message_primary} {error.diag.constraint_name}"
    return found.replace(instance_id, "<id>")


def test_anothers_instance_is_to_me_as_if_it_did_not_exist(db: RoleDatabase) -> None:
    """Word for word the same answer as for an id that nobody has: not even its existence can be learnt."""
    berts = db.start(BOB, "'SELECT 1' ~> df.wait_for_signal('go')")
    with db.work():
        db.one(BOB, "select df.signal(%s, 'go')", berts)
        db.ended(BOB, berts)
    answers = {ask: (answer(db, ANN, ask, berts), answer(db, ANN, ask, "00000000")) for ask in ABOUT_AN_INSTANCE}
    assert {ask: both for ask, both in answers.items() if both[0] != both[1]} == {}
    assert db.one(BOB, "select df.status(%s)", berts) == "completed"


LISTS = (
    "select * from df.list_instances()",
    "select * from df.list_instances(null, 10, null)",
    "select * from df.waiting()",
    "select * from df.instances",
    "select * from df.nodes",
    "select * from df.runs",
    "select * from df.inbox",
    "select * from df.vars",
    "select * from df.edges",
)


def test_lists_show_ones_own_and_the_superuser_sees_all(db: RoleDatabase) -> None:
    db.one(BOB, "select df.setvar('secret', 'x')")
    berts = db.start(BOB, "'SELECT 1' & df.wait_for_signal('go')")
    db.one(BOB, "select df.signal(%s, 'other')", berts)
    with db.work():
        db.until("exists (select from df.runs where status = 'waiting')")
    assert {ask: db.sql(ANN, ask) for ask in LISTS} == {ask: [] for ask in LISTS}
    assert [ask for ask in LISTS if not db.sql(BOB, ask)] == []
    assert [ask for ask in LISTS if len(db.sql(None, ask)) < len(db.sql(BOB, ask))] == []


def test_a_leaky_function_in_a_query_is_shown_nothing_of_others(db: RoleDatabase) -> None:
    db.one(BOB, "select df.start('SELECT 1', 'berts secret label')")
    db.sql(ANN, "create table common.seen (what text)")
    db.sql(ANN, "create function common.leak(text) returns boolean language plpgsql cost 0.0000001 as"
                  " $$ begin insert into common.seen values ($1); return true; end $$")  # fmt: skip
    db.sql(ANN, "select id from df.instances where common.leak(label)")
    assert db.sql(ANN, "select what from common.seen") == []


def test_waiting_for_anothers_instance_is_waiting_for_none(db: RoleDatabase) -> None:
    berts = db.start(BOB, "'SELECT 1'")
    with db.work():
        db.ended(BOB, berts)
        ended = db.ended(ANN, db.start(ANN, f"df.await_instance('{berts}')"))
    assert (ended.error or {})["message"] == f"Instance not found: {berts}"


def test_a_step_cannot_be_completed_by_another_role_even_with_its_token(db: RoleDatabase) -> None:
    berts = db.start(BOB, "'SELECT 1'")
    ((token, node),) = db.sql(
        None,
        "select c.token, n.id from df_internal.worker_claim('by hand', 1, 60) as c join df.nodes as n using (instance_id)",
    )
    step = "select df_internal.exec_node(%s, %s, '{}', %s, 'SELECT 1', 1, 1000)"
    error = db.refused(ANN, step, berts, node, token)
    assert (error.sqlstate, "is lost" in str(error)) == (LEASE_LOST, True)
    # Each half refuses by itself.
    begin = "select df_internal.step_begin(%s, %s, '{}', %s)"
    assert db.refused(ANN, begin, berts, node, token).sqlstate == LEASE_LOST
    end = "select df_internal.step_end(%s, %s, '{}', %s, pg_current_xact_id(), '1', 'x', 1, now())"
    assert db.refused(ANN, end, berts, node, token).sqlstate == LEASE_LOST
    assert db.sql(None, "select status from df.runs") == []
    db.sql(BOB, step, berts, node, token)
    assert db.sql(None, "select status from df.runs") == [("completed",)]


def test_set_role_does_not_make_a_session_another_roles(db: RoleDatabase) -> None:
    """session_user counts: anna, a member of bert, still is not bert's session."""
    db.sql(None, "grant bert to anna")
    try:
        berts = db.start(BOB, "'SELECT 1'")
        ((token, node),) = db.sql(
            None,
            "select c.token, n.id from df_internal.worker_claim('x', 1, 60) as c join df.nodes as n using (instance_id)",
        )
        with psycopg.connect(db.dsn(ANN), autocommit=True) as connection:
            connection.execute("set role bert")
            with pytest.raises(psycopg.DatabaseError, match="is lost"):
                connection.execute(
                    "select df_internal.exec_node(%s, %s, '{}', %s, 'SELECT 1', 1, 1000)", [berts, node, token]
                )
    finally:
        db.sql(None, "revoke bert from anna")


FORBIDDEN = (
    "update df.instances set status = 'completed'",
    "update df.instances set submitted_by = 'bert'::regrole",
    "update df.instances set label = 'x'",
    "update df.nodes set query = 'x'",
    "update df.nodes set status = 'completed'",
    "delete from df.instances",
    "delete from df.nodes",
    "delete from df.runs",
    "delete from df.inbox",
    "update df.inbox set payload = '1'",
    "insert into df.runs (instance_id, node_id, status, started_at, submitted_by) values ('1', '1', 'completed', now(), 'anna')",
    "insert into df.instances (id, root_node) values ('00000000', '00000000')",
    "insert into df.instances (root_node, status) values ('00000000', 'completed')",
    "insert into df.instances (root_node, submitted_by) values ('00000000', 'bert')",
    "insert into df.instances (root_node, created_at) values ('00000000', now())",
    "insert into df.instances (root_node, result) values ('00000000', '1')",
    "insert into df.nodes (id, instance_id, ordinal, node_type, query, status) values ('00000000', '00000000', 0, 'SQL', 'x', 'completed')",
    "insert into df.inbox (instance_id, kind, sent_by) values ('00000000', 'cancel', 'bert')",
    "insert into df.queue (instance_id, submitted_by) values ('00000000', 'anna')",
    "update df.settings set value = 1000000000 where name = 'max_live_instances'",
    "insert into df.vars (name, value, owner) values ('a', 'b', 'bert')",
    "update df.vars set owner = 'bert'",
    "delete from df.migrations",
    "select * from df.queue",
    "select token from df.queue",
    "select value from df.secrets",
    "truncate df.vars",
    "begin; lock table df.instances in share mode",
    "begin; lock table df.instances in access exclusive mode",
    "select from df.instances for share",
    "select from df.instances for update",
    "select from df.nodes for key share",
    "alter table df.instances disable row level security",
    "create function df.mine() returns int language sql as 'select 1'",
    "drop function df.start(text, text, text, text)",
    "create function df_internal.mine() returns int language sql as 'select 1'",
    "drop function df_internal.caller()",
    "select df.metrics()",
    "select df.prune()",
    "select df.grant_usage('anna', true)",
    "select df.revoke_usage('bert')",
    "select df.grant_worker('anna')",
    "select df.http('https://example.org/')",
    "select df.http_multipart('https://example.org/', parts => '[{}]')",
)


def test_what_a_role_may_not_do_is_denied(db: RoleDatabase) -> None:
    db.start(ANN, "'SELECT 1'")
    db.one(ANN, "select df.setvar('a', 'b')")
    states = {statement: db.refused(ANN, statement).sqlstate for statement in FORBIDDEN}
    assert states == dict.fromkeys(FORBIDDEN, "42501")


def test_the_workers_half_is_for_the_worker(db: RoleDatabase) -> None:
    functions = db.sql(OWNER, "select f::text from df_internal.worker_functions() as f")
    assert len(functions) >= 10
    for (function,) in functions:
        name, _, rest = function.partition("(")
        arguments = ", ".join(f"null::{kind}" for kind in rest.rstrip(")").split(",")) if rest != ")" else ""
        db.denied(ANN, f"select {name}({arguments})")
    rows = db.sql(
        OWNER,
        "select f::text from df_internal.worker_functions() as f where not has_function_privilege(%s, f, 'execute')",
        WORKER,
    )
    assert rows == []


def test_the_worker_itself_sees_no_rows_and_starts_nothing(db: RoleDatabase) -> None:
    db.start(ANN, "'SELECT 1'")
    for table in ("instances", "nodes", "runs", "queue", "inbox", "vars"):
        db.denied(WORKER, f"select * from df.{table}")
    db.denied(WORKER, "select df.start('SELECT 1')")


def test_a_stranger_is_outside_the_schema(db: RoleDatabase) -> None:
    for statement in ("select df.start('SELECT 1')", "select * from df.instances", "select df.explain('SELECT 1')"):
        db.denied(EVE, statement)


# Starting.


def test_steps_run_as_whoever_started_them_whatever_the_name(db: RoleDatabase) -> None:
    with db.work():
        started = {role: db.start(role, "'SELECT current_user AS c, session_user AS s' |=> 'x'") for role in HOSTILE}
        ended = {role: db.ended(role, instance_id) for role, instance_id in started.items()}
    for role, instance in ended.items():
        assert instance.status == "completed", instance.error
        assert json.loads(instance.result or "")["rows"] == [{"c": role, "s": role}]
        assert db.sql(role, "select instance_id from df.list_instances()") == [(instance.id,)]
    with Client(db.dsn(ANN)) as client:
        assert client.instances() == []
        with pytest.raises(InstanceNotFound):
            client.signal(started[HOSTILE[0]], "go")
    check(db.root)


def test_privileges_of_roles_with_strange_names_can_be_taken_back(db: RoleDatabase) -> None:
    for role in HOSTILE:
        db.sql(OWNER, "select df.revoke_usage(%s)", role)
        db.denied(role, "select df.start('SELECT 1')")
        db.sql(OWNER, "select df.grant_usage(%s)", role)
        assert db.start(role, "'SELECT 1'")


def test_a_role_that_does_not_exist_is_postgresqls_own_error(db: RoleDatabase) -> None:
    error = db.refused(OWNER, "select df.grant_usage('nobody; drop schema df')")
    assert (error.sqlstate, str(error.diag.message_primary)) == (
        "42704",
        'role "nobody; drop schema df" does not exist',
    )


def test_granting_says_what_it_did(db: RoleDatabase) -> None:
    notices: list[str] = []
    with psycopg.connect(db.dsn(OWNER), autocommit=True) as connection:
        connection.add_notice_handler(lambda notice: notices.append(str(notice.message_primary)))
        connection.execute("select df.grant_usage('eve')")
        connection.execute("select df.revoke_usage('eve')")
    assert notices == [
        'pgweave: granted df usage privileges to "eve"',
        'pgweave: revoked df usage privileges granted by "schema_owner" from "eve"',
    ]


def test_http_and_metrics_are_not_part_of_ordinary_usage(db: RoleDatabase) -> None:
    db.sql(OWNER, "select df.grant_usage('anna', include_http => true)")
    assert "HTTP" in db.one(ANN, "select df.http('https://example.org/')")
    db.denied(ANN, "select df.metrics()")
    db.sql(OWNER, "select df.revoke_usage('anna')")
    db.sql(OWNER, "select df.grant_usage('anna')")
    db.denied(ANN, "select df.http('https://example.org/')")


def test_with_grant_lets_a_role_pass_usage_on_and_revoking_takes_all_of_it_back(db: RoleDatabase) -> None:
    db.sql(OWNER, "select df.grant_usage('anna', with_grant => true)")
    db.sql(ANN, "select df.grant_usage('eve')")
    assert db.start(EVE, "'SELECT 1'")
    assert db.one(ANN, "select total_instances from df.metrics()") == 1
    db.denied(ANN, "select df.grant_worker('eve')")
    db.sql(OWNER, "select df.revoke_usage('anna')")
    db.denied(EVE, "select df.start('SELECT 1')")
    db.denied(ANN, "select df.start('SELECT 1')")


def test_a_delegate_takes_back_only_what_it_gave(db: RoleDatabase) -> None:
    db.sql(OWNER, "select df.grant_usage('anna', with_grant => true)")
    db.sql(ANN, "select df.revoke_usage('bert')")
    assert db.start(BOB, "'SELECT 1'"), "bert has it from the owner"
    db.sql(ANN, "select df.grant_usage('eve')")
    db.sql(ANN, "select df.revoke_usage('eve')")
    db.denied(EVE, "select df.start('SELECT 1')")
    db.sql(OWNER, "select df.revoke_usage('anna')")
    db.sql(OWNER, "select df.grant_usage('anna')")


def test_revoking_the_worker_takes_back_the_workers_half(db: RoleDatabase) -> None:
    db.sql(OWNER, "select df.revoke_worker('worker_role')")
    db.denied(WORKER, "select * from df_internal.worker_claim('x', 1, 1)")
    db.sql(OWNER, "select df.grant_worker('worker_role')")
    assert db.sql(WORKER, "select * from df_internal.worker_claim('x', 1, 1)") == []


def test_set_role_starts_as_that_role(db: RoleDatabase) -> None:
    with psycopg.connect(db.root, autocommit=True) as connection:
        connection.execute("set role anna")
        row = connection.execute("select df.start('SELECT current_user AS me')").fetchone()
    assert row is not None
    with db.work():
        assert json.loads(db.ended(ANN, row[0]).result or "")["rows"] == [{"me": "anna"}]


def test_a_start_inside_a_function_with_its_owners_rights_is_its_owners(db: RoleDatabase) -> None:
    db.sql(BOB, "create function common.begin_it() returns text language sql security definer"
                  " as $$ select df.start('SELECT current_user AS me') $$")  # fmt: skip
    started = db.one(ANN, "select common.begin_it()")
    assert db.one(ANN, "select df.status(%s)", started) is None
    with db.work():
        assert json.loads(db.ended(BOB, started).result or "")["rows"] == [{"me": "bert"}]


def test_a_step_cannot_leave_its_role(db: RoleDatabase) -> None:
    """There is nothing to go back to: the session is the submitter's own."""
    db.sql(BOB, "create table common.berts (n int)")
    with db.work():
        for step in (
            "SET ROLE bert", "SET SESSION AUTHORIZATION bert", "DO $x$ BEGIN EXECUTE 'SET ROLE ' || 'bert'; END $x$",
            "SELECT set_config('role', 'bert', false)", "INSERT INTO common.berts VALUES (1)",
        ):  # fmt: skip
            ended = db.ended(ANN, db.start(ANN, f"$df${step}$df$"))
            assert ended.status == "failed", step
            assert (ended.error or {})["sqlstate"] == "42501"
        ended = db.ended(ANN, db.start(ANN, "'RESET ROLE' ~> 'SELECT current_user AS me'"))
    assert json.loads(ended.result or "")["rows"] == [{"me": "anna"}]
    check(db.root)


def test_what_a_step_leaves_behind_reaches_nobody(db: RoleDatabase) -> None:
    dirt = (
        "DO $x$ BEGIN PERFORM set_config('search_path', 'evil', false); PERFORM set_config('my.flag', 'on', false);"
        " CREATE TEMP TABLE left_over (n int); PERFORM pg_advisory_lock(42); LISTEN gossip; END $x$"
    )
    look = (
        "SELECT current_setting('search_path') AS path, coalesce(current_setting('my.flag', true), '') AS flag,"
        " to_regclass('pg_temp.left_over') IS NULL AS gone,"
        " (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND (pid = pg_backend_pid() OR objid = 42)) AS locks,"
        " (SELECT count(*) FROM pg_listening_channels()) AS channels"
    )
    clean = {"path": '"$user", public', "flag": "", "gone": True, "locks": 0, "channels": 0}
    with db.work():
        ended = db.ended(ANN, db.start(ANN, f"$d${dirt}$d$ ~> $d${look}$d$"))
        assert json.loads(ended.result or "")["rows"] == [clean]
        ended = db.ended(BOB, db.start(BOB, f"$d${look}$d$"))
        assert json.loads(ended.result or "")["rows"] == [clean]


def test_operators_and_functions_of_the_callers_schema_are_not_used_inside(db: RoleDatabase) -> None:
    """A search_path that puts anna's own objects before PostgreSQL's must not get them run by df functions."""
    db.sql(ANN, "create function common.boom(text, text) returns boolean language plpgsql as"
                  " $$ begin raise exception 'ran as %', current_user; end $$")  # fmt: skip
    for operator in ("=", "<>", "~", "||"):
        db.sql(ANN, f"create operator common.{operator} (leftarg = text, rightarg = text, function = common.boom)")
    for function in (
        "concat(text, text)",
        "format(text, text)",
        "lower(text)",
        "octet_length(text)",
        "set_config(text, text, boolean)",
    ):
        db.sql(ANN, f"create function common.{function} returns text language plpgsql as"
                      " $$ begin raise exception 'ran as %', current_user; end $$")  # fmt: skip
    with psycopg.connect(db.dsn(ANN), autocommit=True, options="-c search_path=common,pg_catalog,public") as connection:
        started = connection.execute("select df.start('SELECT 1' ~> 'SELECT 2')").fetchone()
        assert started is not None
        for statement in (
            f"select df.explain('{started[0]}')", "select df.explain($$'a' & 'b'$$)", "select * from df.waiting()",
            "select * from df.list_instances(null, 5, null)", f"select df.signal('{started[0]}', 'x')",
            f"select * from df.instance_nodes('{started[0]}')", "select df.setvar('a', 'b')", "select df.getvar('a')",
            "select df.call_child('x', 'y', '{\"timeout_seconds\": 5}')", "select df.wait_for_schedule('* * * * *')",
        ):  # fmt: skip
            connection.execute(statement.encode())
    db.sql(None, "alter role anna in database " + str(psycopg.conninfo.conninfo_to_dict(db.root)["dbname"])
             + " set search_path = common, pg_catalog, public")  # fmt: skip
    with db.work(), Client(db.root) as watcher:
        assert watcher.wait(started[0]) == "completed"


# Roles come and go.


def test_a_dropped_role_ends_its_instances_and_a_new_one_of_its_name_is_a_stranger(db: RoleDatabase) -> None:
    db.sql(None, "create role zoe login")
    db.sql(OWNER, "select df.grant_usage('zoe')")
    old = db.start("zoe", "df.sleep(0) ~> 'SELECT 1'")
    db.sql(None, "drop owned by zoe")
    db.sql(None, "drop role zoe")
    db.sql(None, "create role zoe login")
    try:
        db.sql(OWNER, "select df.grant_usage('zoe')")
        assert db.sql("zoe", "select * from df.list_instances()") == []
        assert db.one("zoe", "select df.status(%s)", old) is None
        with db.work():
            db.until("exists (select from df.instances where status = 'failed')")
        assert "no longer exists" in db.one(None, "select error ->> 'message' from df.instances where id = %s", old)
    finally:
        db.sql(None, "drop owned by zoe")
        db.sql(None, "drop role zoe")
    check(db.root)


def test_a_renamed_role_goes_on(db: RoleDatabase) -> None:
    db.sql(None, "create role zoe login")
    try:
        db.sql(OWNER, "select df.grant_usage('zoe')")
        started = db.start("zoe", "'SELECT current_user AS me'")
        db.sql(None, "alter role zoe rename to zoltan")
        with db.work():
            assert json.loads(db.ended("zoltan", started).result or "")["rows"] == [{"me": "zoltan"}]
    finally:
        db.sql(None, "drop owned by zoltan")
        db.sql(None, "drop role zoltan")


def test_a_role_that_cannot_log_in_cannot_start(db: RoleDatabase) -> None:
    db.sql(None, "alter role eve nologin")
    try:
        db.sql(OWNER, "select df.grant_usage('eve')")
        with psycopg.connect(db.root) as connection:
            connection.execute("set role eve")
            with pytest.raises(psycopg.DatabaseError) as caught:
                connection.execute("select df.start('SELECT 1')")
        assert caught.value.diag.message_primary == 'current_user "eve" does not have LOGIN privilege.'
        assert caught.value.sqlstate == "42501"
    finally:
        db.sql(None, "alter role eve login")


def test_a_role_that_may_no_longer_log_in_runs_no_further_step(db: RoleDatabase) -> None:
    """Its session is still in the worker's pool; the step is refused all the same."""
    started = db.start(BOB, "'SELECT 1' ~> df.wait_for_signal('go') ~> 'SELECT 2'")
    with psycopg.connect(db.dsn(BOB), autocommit=True) as kept, db.work():
        db.until("exists (select from df.runs where status = 'waiting')")
        db.sql(None, "alter role bert nologin")
        try:
            kept.execute("select df.signal(%s, 'go')", [started])
            row = kept.execute("select df.wait_for_completion(%s, 60)", [started]).fetchone()
            assert row == ("failed",)
            row = kept.execute("select error ->> 'message' from df.instances where id = %s", [started]).fetchone()
            assert row is not None
            assert "LOGIN" in row[0]
        finally:
            db.sql(None, "alter role bert login")


def test_revoked_usage_stops_at_the_next_step(db: RoleDatabase) -> None:
    started = db.start(BOB, "'SELECT 1' ~> df.wait_for_signal('go') ~> 'SELECT 2'")
    with db.work():
        db.one(BOB, "select df.signal(%s, 'go')", started)
        db.sql(OWNER, "select df.revoke_usage('bert')")
        db.until("exists (select from df.instances where completed_at is not null)")
    status, error = db.sql(None, "select status, error ->> 'message' from df.instances where id = %s", started)[0]
    assert (status, "permission denied for schema df" in error) == ("failed", True)


def test_superusers_start_only_where_the_setting_says_so(db: RoleDatabase) -> None:
    """Off here, because an ordinary role installed the schema."""
    error = db.refused(None, "select df.start('SELECT 1')")
    assert str(error.diag.message_primary).startswith("pgweave: superuser instances are disabled.")
    assert '"postgres"' in str(error)
    assert "superuser_instances" in str(error)
    assert db.start(ANN, "'SELECT 1'"), "others are not affected"
    db.sql(OWNER, "update df.settings set value = 1 where name = 'superuser_instances'")
    assert db.one(None, "select df.start('SELECT 1')")


def test_ordinary_roles_cannot_move_the_clock(db: RoleDatabase) -> None:
    for role, moved in ((ANN, False), (OWNER, False), (None, True)):
        dsn = db.root if role is None else db.dsn(role)
        with psycopg.connect(dsn, options="-c pgweave.fake_now=2001-02-03") as connection:
            assert connection.execute("select extract(year from df.clock()) = 2001").fetchone() == (moved,)


def test_the_owner_sees_everything_and_prunes(db: RoleDatabase) -> None:
    with db.work():
        db.ended(ANN, db.start(ANN, "'SELECT 1'"))
    assert len(db.sql(OWNER, "select * from df.list_instances()")) == 1
    db.sql(OWNER, "update df.settings set value = 0 where name = 'retention_days'")
    assert db.one(WORKER, "select df.prune()") == 1
    assert db.sql(OWNER, "select * from df.instances") == []
    assert db.sql(None, "select * from df.nodes") == []
