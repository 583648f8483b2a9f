"""`db` and `worker`: the df schema of a database, and a process that runs its instances."""

from __future__ import annotations

from typing import Annotated

import typer

from pgweave.cli.options import AsJson, Dsn

db = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Install, upgrade, look at or remove the df schema; stop the embedded server.",
)


def add_to(app: typer.Typer) -> None:
    """Register these commands."""
    app.add_typer(db, name="db")
    app.command()(worker)


OperatorSchema = Annotated[
    str, typer.Option(help="Schema for the operators ~> & | ..; it must be on the search_path of those who use them.")
]


@db.command()
def install(dsn: Dsn = None, operator_schema: OperatorSchema = "public") -> None:
    """Install the df schema, or bring it up to date."""
    from pgweave.cli import administration  # lazy: start-up

    administration.install(dsn, operator_schema)


@db.command()
def upgrade(dsn: Dsn = None, operator_schema: OperatorSchema = "public") -> None:
    """Run the migrations that are missing. Running instances are carried over."""
    from pgweave.cli import administration  # lazy: start-up

    administration.upgrade(dsn, operator_schema)


@db.command()
def status(dsn: Dsn = None, as_json: AsJson = False) -> None:
    """Show which version of the df schema a database has; for the embedded server also how to connect psql to it.

    Exits with 0 when it is up to date, with 1 when it is missing, behind or ahead, with 2 when it is not pgweave's or
    was changed.
    """
    from pgweave.cli import administration  # lazy: start-up

    administration.status(dsn, as_json=as_json)


@db.command()
def uninstall(dsn: Dsn = None, yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False) -> None:
    """Drop the schemas df and df_internal, with every instance."""
    from pgweave.cli import administration  # lazy: start-up

    administration.uninstall(dsn, ask=not yes)


@db.command()
def enrol(
    role: Annotated[str, typer.Argument(help="A role that can log in.")],
    dsn: Dsn = None,
    http: Annotated[bool, typer.Option("--http", help="Grant it HTTP steps too.")] = False,
    as_worker: Annotated[
        bool, typer.Option("--worker", help="Let it run the workflows of other roles, instead of starting its own.")
    ] = False,
) -> None:
    """Let a role start workflows (or run them), and check that workers can log in as it."""
    from pgweave.cli import administration  # lazy: start-up

    administration.enrol(role, dsn, http=http, as_worker=as_worker)


@db.command()
def stop() -> None:
    """Stop the embedded server. Its data stays."""
    from pgweave.cli import administration  # lazy: start-up

    administration.stop()


def worker(
    dsn: Dsn = None,
    concurrency: Annotated[
        int, typer.Option(min=1, help="How many instances of one role to execute at the same time.")
    ] = 8,
    reserve: Annotated[
        int | None,
        typer.Option(
            min=0,
            show_default="half",
            help="How many more, for roles of which it executes few.",
        ),
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Stop when nothing is due.")] = False,
    lease_seconds: Annotated[
        float,
        typer.Option(min=1, help="Seconds after which another worker takes over the instances of one that is silent."),
    ] = 15.0,
    poll_seconds: Annotated[
        float, typer.Option(min=0.05, help="Seconds between two polls for work whose notification was lost.")
    ] = 1.0,
    http_allow: Annotated[
        list[str] | None,
        typer.Option(
            metavar="WHAT", help="What HTTP steps may reach, and nothing else: a host, *.domain, network or `public`."
        ),
    ] = None,
    step_seconds: Annotated[
        float, typer.Option(min=0, help="Seconds that one statement may take; 0 for no limit.")
    ] = 0.0,
    loop_seconds: Annotated[
        float, typer.Option(min=0, help="The least seconds from turn to turn of an endless loop.")
    ] = 1.0,
    max_result_bytes: Annotated[
        int, typer.Option(min=100, help="Bytes that the result of one step may have.")
    ] = 1_000_000,
    metrics_port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Serve Prometheus metrics on this port of 127.0.0.1.")
    ] = None,
    otel: Annotated[
        bool, typer.Option("--otel", help="Make OpenTelemetry spans, for the exporter that OTEL_* names.")
    ] = False,
) -> None:
    """Run instances until stopped. SIGTERM and Ctrl-C let the running steps finish first."""
    from pgweave.cli import administration  # lazy: start-up

    settings = administration.settings(
        concurrency,
        reserve,
        lease_seconds,
        poll_seconds,
        step_seconds,
        loop_seconds,
        max_result_bytes,
        http_allow or [],
    )
    administration.work(dsn, settings, once=once, metrics_port=metrics_port, otel=otel)
