"""`%%pgweave` and `%pgweave` in a real IPython shell, and once in a real kernel."""

from __future__ import annotations

import subprocess
import sys
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import nbformat
import psycopg
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

import pgweave
from pgweave.notebooks.commands import COMMANDS

if TYPE_CHECKING:
    from pathlib import Path

    from support.notebook import Notebook

ADDS = "'SELECT 1 AS one' |=> 'first' ~> 'SELECT $first + 1 AS two'"


def test_a_cell_shows_its_picture_and_gives_a_variable(session: Notebook) -> None:
    output = session.run(f"%%pgweave adds\n{ADDS}")
    assert output.success
    picture, findings = output.shown
    assert picture["image/svg+xml"].startswith("<svg")
    assert "→ SQL: SELECT $first + 1 AS two" in picture["text/plain"]
    assert findings["text/plain"].startswith("`adds`: no findings.")
    assert session["adds"] == pgweave.parse(ADDS, "adds")


def test_without_a_name_the_variable_is_called_workflow(session: Notebook) -> None:
    session.run(f"%%pgweave\n{ADDS}")
    assert session["workflow"].name == "workflow"


def test_several_workflows_are_a_list_and_variables_by_their_labels(session: Notebook) -> None:
    output = session.run("%%pgweave both\ndf.start('SELECT 1', 'left-one');\ndf.start('SELECT 2', 'right');")
    assert [workflow.name for workflow in session["both"]] == ["left-one", "right"]
    assert session["left_one"] is session["both"][0]
    assert len(output.bundles("image/svg+xml")) == 2
    assert "the list `both`, and `left_one`, `right`" in output.text


def test_a_label_takes_no_variable_of_the_person_s(session: Notebook) -> None:
    session.run("right = 'mine'")
    session.run("%%pgweave both\ndf.start('SELECT 1', 'left');\ndf.start('SELECT 2', 'right');")
    assert session["right"] == "mine"
    assert session["left"].name == "left"


@pytest.mark.parametrize(
    ("program", "code", "place", "caret"),
    [
        ("'SELECT 1'\n~> ~> 'SELECT 2'", "PW001", "wrong:3:4", "^^ found `~>`"),
        ("'SELECT 1' ~> df.slep(3)", "PW013", "wrong:2:15", "^^^^^^^ not a df call"),
        ("'SELECT 1", "PW002", "wrong:2:1", "^ no `'` follows"),
    ],
)
def test_a_program_that_cannot_be_read_is_shown_with_its_caret(
    session: Notebook, program: str, code: str, place: str, caret: str
) -> None:
    """Lines count as they do in the cell: the magic's own is the first."""
    output = session.run(f"%%pgweave wrong\n{program}")
    (shown,) = output.shown
    assert f"error[{code}]" in shown["text/plain"]
    assert f"--> {place}" in shown["text/plain"]
    assert caret in shown["text/plain"]
    assert f"<b>error[{code}]</b>" in shown["text/html"]
    assert not output.success
    assert "Traceback" not in output.text
    assert output.printed.strip() == "pgweave: 1 error. `wrong` is not set."
    assert "wrong" not in session.shell.user_ns


def test_a_program_that_cannot_be_read_leaves_the_variable_as_it_was(session: Notebook) -> None:
    session.run(f"%%pgweave\n{ADDS}")
    output = session.run("%%pgweave\n'SELECT 1' ~>")
    assert "`workflow` is what it was before." in output.printed
    assert session["workflow"].text == pgweave.parse(ADDS).text


def test_an_error_in_what_can_be_read_is_shown_below_the_picture(session: Notebook) -> None:
    """It is drawn and kept, so that one can work on; only starting it is refused."""
    output = session.run("%%pgweave\n'SELECT $nobody'")
    assert output.success
    assert output.bundles("image/svg+xml")
    assert "error[PW201]" in output.text
    assert "workflow:2:9" in output.text
    assert session["workflow"].check()


def test_a_cell_without_a_workflow_says_what_to_write(session: Notebook) -> None:
    output = session.run("%%pgweave\n-- nothing yet")
    assert output.shown == []
    assert "This cell holds no workflow. Write one, for example: 'SELECT 1' ~> 'SELECT 2'" in output.printed


def test_plain_sql_is_told_where_it_belongs(session: Notebook) -> None:
    output = session.run("%%pgweave\nSELECT * FROM orders")
    assert "error[PW024]: This statement is not a workflow" in output.text
    assert "A cell of plain SQL begins with `%%pgweave sql`." in output.printed


def test_check_only_shows_findings_and_nothing_else(session: Notebook) -> None:
    output = session.run("%%pgweave --check-only\n'SELECT $nobody'")
    assert not output.success
    assert len(output.shown) == 1
    assert "workflow" not in session.shell.user_ns
    assert "No findings." in session.run(f"%%pgweave --check-only\n{ADDS}").text


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("%%pgweave --rnu\n'SELECT 1'", "unrecognized arguments: --rnu"),
        ("%%pgweave 3x\n'SELECT 1'", "'3x' is not the name of a variable"),
        ("%%pgweave import\n'SELECT 1'", "'import' is not the name of a variable"),
        ("%%pgweave --run --var x\n'SELECT 1'", "--var takes NAME=VALUE"),
        ("%pgweave sohw x", "There is no command 'sohw'. Did you mean `%pgweave show`?"),
        ("%pgweave signal", "Write: %pgweave signal ID NAME [JSON]"),
        ("%pgweave signal 0123abcd go {", "What a signal carries is JSON, and this is not"),
        ("%pgweave ps many", "'many' is not a whole number"),
        ("%pgweave check nothing", "The variable 'nothing' holds no workflow"),
        ("%pgweave explain PW999", "There is no finding PW999"),
        ("%pgweave sql", "There is no SQL"),
        ("%pgweave use", "Write: %pgweave use DSN"),
    ],
)
def test_a_mistake_in_the_magic_is_one_sentence(connected: Notebook, cell: str, said: str) -> None:
    output = connected.run(cell)
    assert not output.success
    assert said in output.printed
    assert len(output.printed.strip().splitlines()) == 1


@pytest.mark.parametrize("command", ["signal 0123abcd go", "cancel 0123abcd", "result 0123abcd"])
def test_an_id_that_there_is_not_is_said_so(connected: Notebook, command: str) -> None:
    output = connected.run(f"%pgweave {command}")
    assert output.printed == "pgweave: There is no instance 0123abcd.\n  List the instances with `pgweave ps`.\n"


def test_a_database_that_cannot_be_reached_is_said_so(session: Notebook) -> None:
    output = session.run("%pgweave use host=/nonexistent")
    assert output.printed.startswith("pgweave: Cannot connect to PostgreSQL:")
    assert len(output.printed.splitlines()) == 2


def test_a_database_that_is_named_is_asked_about_tables(session: Notebook, database: str) -> None:
    program = "'SELECT amount FROM invoices'"
    assert "%pgweave check wf" in session.run(f"%%pgweave wf\n{program}").text
    output = session.run(f"%%pgweave wf --dsn '{database}'\n{program}")
    assert 'error[PW513]: Relation "invoices" does not exist' in output.text
    assert "wf:2:21" in output.text
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("create table invoices (id int, amount numeric)")
    # The session has its database now.
    assert "`wf`: no findings." in session.run(f"%%pgweave wf\n{program}").text
    assert "column" in session.run("%%pgweave wf\n'SELECT amout FROM invoices'").text


def test_a_dsn_may_come_from_a_variable(session: Notebook, database: str) -> None:
    session.push(dsn=database)
    for way in ("dsn", "{dsn}", "$dsn"):
        assert session.run(f"%%pgweave --dsn '{way}'\n'SELECT 1'").success


def test_run_starts_nothing_that_has_an_error(connected: Notebook, database: str) -> None:
    """Neither one of the text, nor one that only the database knows."""
    output = connected.run("%%pgweave wf --run\n'SELECT $nobody'")
    assert output.printed == "pgweave: 1 error. Nothing was started.\n"
    output = connected.run("%%pgweave wf --run\n'SELECT 1 FROM nowhere'")
    assert 'Relation "nowhere" does not exist' in output.text
    assert "`wf.start()` starts it without asking the database." in output.printed
    output = connected.run("%%pgweave wf --run\ndf.start('SELECT 1', 'a');\ndf.start('SELECT 2', 'b')")
    assert output.printed == "pgweave: This cell holds 2 workflows.\n  Start one: wf[0].start()\n"
    with pgweave.connect(database) as client:
        assert client.instances() == []


def test_check_asks_the_database_and_explain_tells_more(connected: Notebook) -> None:
    connected.push(wf=pgweave.parse("'SELECT 1 FROM nowhere'", "mine.df"))
    output = connected.run("%pgweave check wf")
    assert 'Relation "nowhere" does not exist' in output.text
    assert "mine.df:1:16" in output.text
    assert "# PW513" in connected.run("%pgweave explain pw513").text


def test_sql_gives_a_table_with_exact_numbers(connected: Notebook) -> None:
    output = connected.run("%pgweave sql SELECT 1.10 AS price, NULL AS nothing, '{\"a\": 1.10}'::jsonb AS made")
    assert '{"a": 1.10}' in output.text
    assert "(1 row)" in output.text
    connected.run("prices = %pgweave sql SELECT 1.10 AS price")
    assert connected["prices"].rows == [{"price": Decimal("1.10")}]


def test_a_cell_of_sql_shows_its_last_result_or_keeps_it(connected: Notebook) -> None:
    cell = "create table t (a int);\ninsert into t values (1), (2);\nselect a from t order by a"
    assert "(2 rows)" in connected.run(f"%%pgweave sql\n{cell};").text
    assert connected.run("%%pgweave sql kept\nselect a, a from t where a = 2").shown == []
    assert connected["kept"].rows == [{"a": 2, "a (2)": 2}]
    assert "INSERT 0 1" in connected.run("%pgweave sql insert into t values (3)").text


def test_sql_that_postgresql_refuses_is_shown_with_its_caret(connected: Notebook) -> None:
    output = connected.run("%%pgweave sql\nselect 1,\n  nowhere")
    assert 'error[42703]: Column "nowhere" does not exist' in output.text
    assert "sql:3:3" in output.text
    assert "Traceback" not in output.text
    assert not output.success
    assert "PostgreSQL refused: division by zero" in connected.run("%pgweave sql select 1/0").text


def test_instances_are_listed_signalled_and_cancelled(connected: Notebook, database: str) -> None:
    with pgweave.connect(database) as client:
        instance_id = client.start(pgweave.parse("df.wait_for_signal('go')").compile("tree"), "waits")
        listed = connected.run("%pgweave ps").text
        assert instance_id in listed
        assert "waits" in listed
        connected.push(mine=instance_id)
        assert f"Sent go to {instance_id}." in connected.run('%pgweave signal mine go {"by": "Ann", "n": [1]}').text
        assert "has no result" in connected.run("%pgweave result mine").text
        assert connected.run("%pgweave cancel mine no longer needed").success
        with psycopg.connect(database) as connection:
            (payload,) = connection.execute("select payload from df.inbox").fetchone() or (None,)
    assert payload == {"by": "Ann", "n": [1]}


def test_without_instances_a_sentence_says_so(connected: Notebook) -> None:
    assert "No instances." in connected.run("%pgweave ps").text


def test_help_lists_every_command_and_each_can_be_run(session: Notebook) -> None:
    text = session.run("%pgweave help").text
    for usage, _ in COMMANDS.values():
        assert f"%pgweave {usage}" in text
    assert session.run("%pgweave").text == text


def test_text_shows_the_program_laid_out(session: Notebook) -> None:
    session.run(f"%%pgweave\n{ADDS}")
    (shown,) = session.run("%pgweave text;").shown
    assert shown["text/plain"] == session["workflow"].text
    assert '<span class="pgw-string">' in shown["text/html"]


def test_a_program_that_does_not_parse_in_python_shows_its_finding(session: Notebook) -> None:
    output = session.run("import pgweave; pgweave.parse('SELECT')")
    assert "error[PW001]" in output.printed
    assert "^ found the end" in output.printed
    assert "Traceback" not in output.printed
    assert "workflow.py" not in output.printed
    output = session.run("pgweave.load('no.df')")
    assert output.printed == "PgweaveError: Cannot read no.df: No such file or directory.\n  Check the path.\n"


def test_the_extension_can_be_loaded_twice_and_unloaded(session: Notebook) -> None:
    assert session.run("%reload_ext pgweave").success
    identifiers = [getattr(one, "matcher_identifier", "") for one in session.shell.Completer.custom_matchers]
    assert identifiers.count("pgweave") == 1
    assert session.run("%unload_ext pgweave").success
    assert "not found" in session.run("%pgweave ps").printed


def answer(client: NotebookClient, message: str) -> dict[str, Any]:
    """What a kernel replies to a message."""
    reply = client.wait_for_reply(message)
    assert reply is not None
    return dict(reply["content"])


def test_a_notebook_executes_in_a_real_kernel(tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Displays, completion and hover by the kernel's own messages."""
    monkeypatch.setenv("PGWEAVE_DSN", database)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path))
    cells = [
        "%load_ext pgweave",
        f"%%pgweave adds\n{ADDS}",
        "%pgweave sql select 1 as one",
        f"%%pgweave --run\n{ADDS}",
        "%pgweave wait run 30",
        "run.result()",
        "%%pgweave other\n'SELECT",
    ]
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])  # type: ignore[no-untyped-call]
    client = NotebookClient(book, kernel_name="python3", timeout=60)
    with client.setup_kernel():
        assert client.kc is not None
        *good, bad = book.cells
        for at, cell in enumerate(good):
            client.execute_cell(cell, at)
        with pytest.raises(CellExecutionError, match=r"1 error\. `other` is not set"):
            client.execute_cell(bad, len(good))
        drawn, found = book.cells[1].outputs
        assert drawn.data["image/svg+xml"].startswith("<svg")
        assert found.data["text/plain"] == "`adds`: no findings. `adds.start()` runs it."
        assert "<td" in book.cells[2].outputs[0].data["text/html"]
        assert "2" in book.cells[5].outputs[-1].data["text/plain"].split()
        shown, error = bad.outputs
        assert "PW002" in shown.data["text/plain"]
        assert error.traceback == ["pgweave: 1 error. `other` is not set."]
        cell = "%%pgweave\n'SELECT 1' ~> df.slee"
        completed = answer(client, client.kc.complete(cell, len(cell)))
        assert completed["matches"] == ["df.sleep"]
        assert cell[completed["cursor_start"] :] == "df.slee"
        hovered = answer(client, client.kc.inspect(f"{cell}p(1)", len(cell)))
        assert "df.sleep(seconds bigint)" in hovered["data"]["text/markdown"]
        python = answer(client, client.kc.inspect("len", 3))
        assert python["found"]


def test_import_and_first_picture_take_less_than_a_second(tmp_path: Path) -> None:
    program = (
        "import time; from IPython.core.interactiveshell import InteractiveShell;"
        "shell = InteractiveShell.instance(); start = time.process_time();"
        "shell.run_line_magic('load_ext', 'pgweave');"
        f"assert shell.run_cell({f'%%pgweave{chr(10)}{ADDS}'!r}).success;"
        "print(time.process_time() - start)"
    )
    environment = {"IPYTHONDIR": str(tmp_path), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment, timeout=60
    )
    assert float(done.stdout.splitlines()[-1]) < 1
