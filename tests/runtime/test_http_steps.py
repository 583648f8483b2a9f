"""HTTP steps in workflows: results, who may make them, secrets, and workers that die around a request."""

from __future__ import annotations

import json
import os
import signal
import time
from itertools import count
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import sql
from support.checker import check
from support.http_server import Received, Server, answer, serving
from support.work import Database, Events, with_worker, worker_process

from pgweave.runtime.http.ssrf import VARIABLE, Policy
from pgweave.runtime.worker.failpoints import HTTP_POINTS
from pgweave.runtime.worker.service import Settings

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

QUICK = Settings(lease_seconds=3.0, poll_seconds=0.2, http=Policy.allowing("127.0.0.1"))
CANARY = "canary-9d2c"
_numbers = count(1)


@pytest.fixture
def web() -> Iterator[Server]:
    with serving() as found:
        yield found


@pytest.fixture
def place(database: str) -> Iterator[Database]:
    with with_worker(database, QUICK) as found:
        yield found
        check(database)


class Role:
    """A role that may start workflows and is nothing else. Roles belong to the whole web, hence the names."""

    def __init__(self, dsn: str) -> None:
        self.name = f"http user {os.getpid()}-{next(_numbers)}"
        self._dsn = dsn
        self.owner("create role {} login")
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute("select df.grant_usage(%s)", [self.name])

    def owner(self, statement: str) -> None:
        """Run something about this role as the owner of everything."""
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(sql.Identifier(self.name)))

    def sql(self, statement: str, *arguments: object) -> list[tuple[Any, ...]]:
        """Run something as this role."""
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            connection.execute(sql.SQL("set role {}").format(sql.Identifier(self.name)))
            cursor = connection.execute(statement.encode(), arguments or None)
            return cursor.fetchall() if cursor.description else []

    def start(self, graph: str) -> str:
        """Start a graph, written by hand."""
        return str(self.sql("select df.start(%s)", graph)[0][0])


@pytest.fixture
def role(database: str) -> Iterator[Role]:
    found = Role(database)
    yield found
    found.owner("drop owned by {}")
    found.owner("drop role {}")


def node(kind: str = "HTTP", **config: object) -> str:
    """A graph of one node that no builder function has made."""
    return json.dumps({"node_type": kind, "query": json.dumps({"method": "POST", "timeout_seconds": 10, **config})})


def error(place: Database, instance_id: str) -> dict[str, Any]:
    instance = place.ended(instance_id)
    assert instance.status == "failed", instance
    return dict(instance.error or {})


# Results.


def test_a_workflow_reads_the_fields_of_an_answer(place: Database, web: Server) -> None:
    web.on("/price", answer('{"cents": 1999}', 404, content_type="application/json"))
    instance = place.finish(
        f"df.http('{web.url('/price')}', 'GET') |=> 'r' ~> "
        "'SELECT $r.status AS status, $r.ok AS ok, $r.encoding AS encoding, ($r.body::json ->> ''cents'')::int AS cents'"
    )
    assert instance.status == "completed", instance.error
    assert json.loads(instance.result or "")["rows"] == [
        {"status": 404, "ok": False, "encoding": "text", "cents": 1999}
    ]


def test_values_reach_url_body_and_headers_as_data(place: Database, web: Server) -> None:
    web.on("/find", answer("found"))
    instance = place.finish(
        "'SELECT ''a \"b\" & c'' AS q, 1.50 AS n' |=> 'x' ~> "
        f'df.http(\'{web.url("/find")}?q=$x\', \'POST\', \'{{"q": "$x", "n": $x.n}}\', \'{{"X-N": "$x.n"}}\')'
    )
    assert instance.status == "completed", instance.error
    (sent,) = web.requests
    assert sent.target == "/find?q=a%20%22b%22%20%26%20c"
    assert sent.body == b'{"q": "a \\"b\\" & c", "n": 1.50}'
    assert sent.header("X-N") == "1.50"


def test_binary_data_goes_from_one_server_to_another_unchanged(place: Database, web: Server) -> None:
    picture = bytes(range(256)) * 4
    web.on("/picture", answer(picture, content_type="image/png"))
    web.on("/up", answer(status=201))
    instance = place.finish(
        f"df.http('{web.url('/picture')}', 'GET') |=> 'r' ~> df.http_multipart('{web.url('/up')}', 'POST', "
        "jsonb_build_array(jsonb_build_object('name', 'file', 'data_b64', '$r.body', 'filename', 'p.png')))"
    )
    assert instance.status == "completed", instance.error
    assert picture in web.requests[1].body


def test_a_server_error_fails_the_workflow_and_nothing_is_sent_again(place: Database, web: Server) -> None:
    url = web.on("/", answer("on fire", 500))
    instance = place.finish(f"df.http('{url}') ~> 'SELECT 1'")
    assert (instance.error or {})["message"] == f"HTTP POST {url} returned 500: on fire"
    assert len(web.requests) == 1


def test_a_nul_in_an_answer_is_kept_and_fails_nobody(place: Database, web: Server) -> None:
    url = web.on("/", answer(b"a\0b"))
    instance = place.finish(f"df.http('{url}')")
    assert instance.status == "completed", instance.error
    assert json.loads(instance.result or "")["body"] == "a\0b"
    web.on("/", answer(b"a\0b", 500))
    assert place.error(f"df.http('{url}')") == f"HTTP POST {url} returned 500: a\ufffdb"


def test_an_answer_over_the_limit_fails_by_name(place: Database, web: Server) -> None:
    url = web.on("/", answer(b"x" * 1_200_000))
    instance = place.finish(f"df.http('{url}')")
    assert (instance.error or {})["sqlstate"] == "PWR03"


def test_each_turn_of_a_loop_has_a_key_of_its_own(place: Database, web: Server) -> None:
    url = web.on("/", answer())
    place.sql("create sequence turns")
    instance = place.finish(f"df.loop(df.http('{url}'), 'SELECT nextval(''turns'') < 3')")
    assert instance.status == "completed", instance.error
    assert len(web.requests) == 3
    assert len(set(web.keys())) == 3


def test_the_request_is_recorded_without_headers_and_body(place: Database, web: Server) -> None:
    url = web.on("/", answer())
    instance = place.finish(f"""df.http('{url}?a=1', 'PUT', 'the body', '{{"X-A": "the header"}}')""")
    (found,) = place.client.nodes(instance.id)
    assert (found.ran, found.attempts) == (f"PUT {url}?a=1", 1)
    assert found.started_at is not None
    assert found.finished_at is not None


def silent(_: Received, connection: socket.socket) -> None:
    """Never answers."""
    connection.recv(1)


def test_a_request_that_loses_a_race_is_given_up(place: Database, web: Server) -> None:
    url = web.on("/", silent)
    began = time.monotonic()
    instance = place.finish(f"df.http('{url}', timeout_seconds => 50) | df.sleep(1)")
    assert instance.result == '{"slept": true, "seconds": 1}'
    assert time.monotonic() - began < 20


def test_a_cancel_does_not_wait_for_an_answer(place: Database, web: Server) -> None:
    url = web.on("/", silent)
    instance = place.start(f"df.http('{url}', timeout_seconds => 50)")
    web.wait_for_requests(1)
    place.client.cancel(instance)
    began = time.monotonic()
    assert place.ended(instance).status == "cancelled"
    assert time.monotonic() - began < 20


# Who may, and where to.


def test_without_a_rule_that_says_otherwise_nothing_private_is_reached(database: str, web: Server) -> None:
    with with_worker(database, Settings(poll_seconds=0.2, http=Policy())) as place:
        assert place.error(f"df.http('{web.url()}')").startswith("Blocked: requests to bare IP addresses")
        assert place.error(f"df.http('http://localhost:{web.port}/')").endswith("is in a restricted range.")
    assert web.connections == 0


def test_http_is_off_until_it_is_granted(place: Database, role: Role, web: Server) -> None:
    url = web.on("/", answer("hello"))
    for call in (f"df.http('{url}')", f"""df.http_multipart('{url}', 'POST', '[{{"name": "a", "data_b64": ""}}]')"""):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            role.sql(f"select {call}")
    role.owner("grant execute on function df.http(text, text, text, jsonb, integer) to {}")
    (graph,) = role.sql(f"select df.http('{url}')")
    assert place.ended(role.start(graph[0])).status == "completed"
    assert len(web.requests) == 1


@pytest.mark.parametrize(("kind", "called"), [("HTTP", "df.http()"), ("HTTP_MULTIPART", "df.http_multipart()")])
def test_a_node_written_by_hand_needs_the_same_privilege(
    place: Database, role: Role, web: Server, kind: str, called: str
) -> None:
    """The privilege for one is not the privilege for the other."""
    other = {
        "HTTP": "df.http_multipart(text, text, jsonb, jsonb, integer)",
        "HTTP_MULTIPART": "df.http(text, text, text, jsonb, integer)",
    }
    role.owner(f"grant execute on function {other[kind]} to {{}}")
    parts = [{"name": "a", "data_b64": ""}]
    found = error(place, role.start(node(kind, url=web.url(), parts=parts)))
    assert found["message"] == f"Blocked: role '{role.name}' does not have EXECUTE privilege on {called}."
    assert called.removesuffix(")") in found["hint"]
    assert web.connections == 0


def test_a_privilege_that_is_taken_back_counts_for_what_has_been_started(
    place: Database, role: Role, web: Server
) -> None:
    role.owner("grant execute on function df.http(text, text, text, jsonb, integer) to {}")
    wait = {"node_type": "SIGNAL", "query": '{"signal_name":"go"}'}
    request = json.loads(node(url=web.url()))
    instance = role.start(json.dumps({"node_type": "THEN", "left_node": wait, "right_node": request}))
    place.events.wait_for("parked", instance)
    role.owner("revoke execute on function df.http(text, text, text, jsonb, integer) from {}")
    place.client.signal(instance, "go")
    assert error(place, instance)["message"].startswith("Blocked: role ")
    assert web.connections == 0


def test_a_scheme_written_by_hand_is_refused(place: Database) -> None:
    instance = place.start("$$" + node(url="file:///etc/passwd") + "$$")
    assert error(place, instance)["message"].startswith("Blocked: unsupported URL scheme 'file'.")


def test_a_configuration_that_is_no_object_fails_the_node_and_not_the_worker(place: Database) -> None:
    """What can be known before is refused at the start; the rest is the failure of the node."""
    for query in ("[]", "5", "no json", '{"url": 5}', '{"headers": {"Authorization": 5}, "url": "http://e.com"}'):
        try:
            instance = place.start("$$" + json.dumps({"node_type": "HTTP", "query": query}) + "$$")
        except psycopg.errors.InvalidParameterValue as refusal:
            assert "query in HTTP must be" in str(refusal)  # noqa: PT017 - some are refused, some fail
        else:
            assert "message" in error(place, instance)


def test_the_worker_says_what_may_be_reached(database: str, web: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """By option, or by the environment; the option wins."""
    url = web.on("/", answer())
    place = Database(database)
    monkeypatch.setenv(VARIABLE, f"public 127.0.0.1:{web.port}")
    first, second = place.start(f"df.http('{url}')"), ""
    with worker_process(database):
        assert place.ended(first).status == "completed"
    with worker_process(database, "--http-allow", "public", "--http-allow", "10.0.0.0/8"):
        second = place.start(f"df.http('{url}')")
        assert error(place, second)["message"].startswith("Blocked: ")
    place.client.close()
    assert web.connections == 1


# Secrets.


def granted(role: Role) -> Role:
    role.owner("grant execute on function df.http(text, text, text, jsonb, integer) to {}")
    return role


def test_a_secret_goes_out_and_is_kept_nowhere(
    place: Database, role: Role, web: Server, caplog: pytest.LogCaptureFixture
) -> None:
    def echo(received: Received, connection: socket.socket) -> None:
        connection.sendall(answer(str(received.header("Authorization")), int(received.target.removeprefix("/?"))))

    caplog.set_level("DEBUG")
    granted(role).sql("select df.set_secret('KEY', %s)", CANARY)
    web.on("/", echo)
    for status in (200, 500):
        graph = node(url=f"{web.url()}?{status}", headers={"Authorization": "Bearer {secret:KEY}"})
        place.ended(role.start(graph))
    assert [sent.header("Authorization") for sent in web.requests] == [f"Bearer {CANARY}"] * 2
    kept = place.sql(
        "select t::text from df.instances as t union all select t::text from df.nodes as t union all"
        " select t::text from df.runs as t union all select t::text from df.inbox as t union all"
        " select query from pg_stat_activity where pid <> pg_backend_pid()"
    )
    assert len(kept) >= 6
    assert CANARY not in str(kept)
    assert CANARY not in caplog.text


def test_nobody_reads_a_secret(database: str, role: Role) -> None:
    role.sql("select df.set_secret('KEY', %s)", CANARY)
    for statement in (
        "select * from df.secrets",
        "select value from df.secrets",
        "select count(*) from df.secrets",
        "update df.secrets set value = 'x'",
        "delete from df.secrets",
        "insert into df.secrets (name, value) values ('KEY', 'x') returning value",
        "insert into df.secrets (owner, name, value) values ('postgres', 'KEY', 'x')",
        "copy df.secrets to stdout",
        "select df_internal.worker_request('0a1b2c3d', gen_random_uuid(), '00000001', '{}', '{KEY}')",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            role.sql(statement)


def test_each_role_has_its_own_secrets(place: Database, database: str, role: Role, web: Server) -> None:
    url = web.on("/", answer())
    other = Role(database)
    other.sql("select df.set_secret('KEY', %s)", "of the other")
    place.sql("select df.set_secret('KEY', 'of the owner')")
    graph = node(url=url, headers={"X-Key": "{secret:KEY}"})
    assert error(place, granted(role).start(graph))["message"] == "Secret 'KEY' is not set"
    role.sql("select df.set_secret('KEY', 'of the first')")
    role.sql("select df.set_secret('KEY', 'of the second day')")
    assert place.ended(role.start(graph)).status == "completed"
    assert place.ended(granted(other).start(graph)).status == "completed"
    assert [sent.header("X-Key") for sent in web.requests] == ["of the second day", "of the other"]
    assert place.sql("select count(*) from df.secrets") == [(3,)], "values that were replaced are gone"
    role.sql("select df.unset_secret('KEY')")
    assert error(place, role.start(graph))["message"] == "Secret 'KEY' is not set"
    other.owner("drop owned by {}")
    other.owner("drop role {}")


@pytest.mark.parametrize(
    ("name", "value"), [("KEY", "a\nb"), ("KEY", ""), ("KEY", None), ("no name", "x"), (None, "x"), ("KEY", "x" * 9000)]
)
def test_a_secret_that_could_not_be_sent_is_refused(place: Database, name: str | None, value: str | None) -> None:
    with pytest.raises(psycopg.DataError, match=r"df\.set_secret: "):
        place.sql("select df.set_secret(%s, %s)", name, value)
    assert place.sql("select count(*) from df.secrets") == [(0,)]


def test_a_secret_cannot_be_set_by_a_step(place: Database) -> None:
    assert "cannot be called inside a workflow" in place.error("'SELECT df.set_secret(''KEY'', ''value'')'")
    assert place.sql("select count(*) from df.secrets") == [(0,)]


# Workers that die. A request is made at least once, always under the same key.


@pytest.fixture
def alone(database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """A database without a worker of its own."""
    monkeypatch.setenv(VARIABLE, "127.0.0.1")
    place = Database(database)
    place.events = Events()
    yield place
    place.client.close()
    check(database)


def blocked(place: Database, table: str) -> str:
    return f"select count(*) > 0 from pg_locks where not granted and relation = 'df.{table}'::regclass"


def test_a_worker_killed_before_it_sends_leaves_nothing_behind(alone: Database, web: Server) -> None:
    url = web.on("/", answer("hello"))
    instance = alone.start(f"df.http('{url}')")
    with psycopg.connect(alone.dsn) as holder:
        holder.execute("lock table df.nodes in exclusive mode")
        with worker_process(alone.dsn, "--lease-seconds", "1") as first:
            alone.until(blocked(alone, "nodes"))
            first.kill()
        assert web.connections == 0
        holder.rollback()
    with worker_process(alone.dsn):
        assert alone.ended(instance).status == "completed"
    assert len(web.requests) == 1


def test_a_worker_killed_while_it_waits_for_the_answer_sends_again_under_the_same_key(
    alone: Database, web: Server
) -> None:
    url = web.on("/", silent)
    instance = alone.start(f"df.http('{url}')")
    with worker_process(alone.dsn, "--lease-seconds", "1") as first:
        web.wait_for_requests(1)
        first.kill()
    web.on("/", answer("hello"))
    with worker_process(alone.dsn):
        assert alone.ended(instance).status == "completed"
    assert len(web.requests) == 2
    assert len(set(web.keys())) == 1
    assert alone.sql("select attempts from df.runs") == [(2,)]


def test_a_worker_killed_before_it_records_the_answer_sends_again_under_the_same_key(
    alone: Database, web: Server
) -> None:
    url = web.on("/", answer("hello"))
    instance = alone.start(f"df.http('{url}')")
    with psycopg.connect(alone.dsn) as holder:
        holder.execute("lock table df.runs in share mode")
        with worker_process(alone.dsn, "--lease-seconds", "1") as first:
            web.wait_for_requests(1)
            alone.until(blocked(alone, "runs"))
            first.kill()
        # What still waits for the lock speaks for a worker that is gone.
        alone.sql("select pg_terminate_backend(pid) from pg_locks where not granted and relation = 'df.runs'::regclass")
        holder.rollback()
    with worker_process(alone.dsn):
        assert alone.ended(instance).status == "completed"
    assert len(set(web.keys())) == 1
    assert len(web.requests) == 2


POINTS = {
    "before_permit": 0,
    "before_send": 0,
    "after_answer": 1,
    "after_step:2": 1,
    "before_finish": 1,
}


@pytest.mark.parametrize("point", POINTS)
def test_a_worker_that_dies_around_a_request_leaves_one_key_and_one_effect_each(
    alone: Database, web: Server, point: str
) -> None:
    """Everything ends. POINTS: how many requests the worker that dies has made of the one node."""
    assert set(HTTP_POINTS) <= POINTS.keys()
    alone.sql("create table fx (step text)")
    url = web.on("/", answer("hello"))
    instance = alone.start(
        "'INSERT INTO fx VALUES (''before'')'"
        f" ~> df.http('{url}', 'POST', 'x') |=> 'a' ~> $$INSERT INTO fx VALUES ('after ' || $a.body)$$"
    )
    with worker_process(alone.dsn, failpoint=point) as first:
        assert first.process.wait(60) == -signal.SIGKILL, f"it never came to {point}"
    assert len(web.requests) == POINTS[point]
    alone.sql("update df.queue set leased_until = '-infinity'")
    with worker_process(alone.dsn):
        assert alone.ended(instance).status == "completed"
    assert len(set(web.keys())) == 1
    assert len(web.requests) == (2 if point == "after_answer" else 1)
    assert alone.sql("select step from fx order by 1") == [("after hello",), ("before",)]
    check(alone.dsn)


def test_an_outcome_is_recorded_through_short_troubles_of_the_database(place: Database, web: Server) -> None:
    """Without the record the request would be sent again. The connection is gone; then the record fails twice."""
    place.sql("create sequence records")
    place.sql(
        "create function trip() returns trigger language plpgsql as $f$ begin"
        " if nextval('public.records') <= 2 then raise exception 'trouble' using errcode = 'serialization_failure'; end if;"
        " return new; end $f$"
    )
    place.sql("create trigger trip before insert on df.runs for each row execute function trip()")

    def act(_: Received, connection: socket.socket) -> None:
        place.sql(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where datname = current_database() and application_name = 'pgweave worker'"
        )
        connection.sendall(answer("hello"))

    instance = place.finish(f"df.http('{web.on('/', act)}')")
    assert instance.status == "completed", instance.error
    assert place.sql("select last_value from records") == [(3,)]
    assert len(web.requests) == 1
