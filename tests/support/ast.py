"""Short ways to write an AST by hand. Every span is a different place, in the order of the calls."""

from __future__ import annotations

from itertools import count

from pgweave.grammar import nodes
from pgweave.grammar.nodes import Binding, Definition, Module, Node, Option, Text, Variable
from pgweave.grammar.span import Source, Span

_places = count(step=10)


def span() -> Span:
    start = next(_places)
    return Span(start, start + 5)


def text(value: str) -> Text:
    start = next(_places)
    return Text(value, Span(start, start + len(value) + 2), ((0, start + 1),))


def sql(query: str, name: str | None = None) -> nodes.Sql:
    return nodes.Sql(query=text(query), span=span(), binding=binding(name))


def binding(name: str | None) -> Binding | None:
    return None if name is None else Binding(name, span())


def then(first: Node, second: Node, *more: Node, name: str | None = None) -> nodes.Then:
    """Left-deep, as `~>` groups; the name is that of the outermost."""
    for step in more:
        first, second = nodes.Then(first=first, second=second, span=span()), step
    return nodes.Then(first=first, second=second, span=span(), binding=binding(name))


def if_(condition: Node, yes: Node, no: Node, name: str | None = None) -> nodes.If:
    return nodes.If(condition=condition, then_branch=yes, else_branch=no, span=span(), binding=binding(name))


def if_rows(result: str, yes: Node, no: Node, name: str | None = None) -> nodes.IfRows:
    return nodes.IfRows(result_name=text(result), then_branch=yes, else_branch=no, span=span(), binding=binding(name))


def join(*branches: Node, name: str | None = None) -> nodes.Join:
    return nodes.Join(branches=branches, span=span(), binding=binding(name))


def race(left: Node, right: Node, name: str | None = None) -> nodes.Race:
    return nodes.Race(left=left, right=right, span=span(), binding=binding(name))


def loop(body: Node, condition: Node | None = None, name: str | None = None) -> nodes.Loop:
    return nodes.Loop(body=body, condition=condition, span=span(), binding=binding(name))


def break_(value: str | None = None, name: str | None = None) -> nodes.Break:
    return nodes.Break(value=None if value is None else text(value), span=span(), binding=binding(name))


def sleep(seconds: int, name: str | None = None) -> nodes.Sleep:
    return nodes.Sleep(seconds=seconds, span=span(), binding=binding(name))


def schedule(cron: str) -> nodes.WaitSchedule:
    return nodes.WaitSchedule(cron=text(cron), span=span())


def signal(name: str, timeout: int | None = None, bound: str | None = None) -> nodes.Signal:
    return nodes.Signal(signal_name=text(name), timeout_seconds=timeout, span=span(), binding=binding(bound))


def http(url: str, method: str = "POST", body: str | None = None, headers: str | None = None) -> nodes.Http:
    return nodes.Http(
        url=text(url),
        method=method,
        body=None if body is None else text(body),
        headers=None if headers is None else text(headers),
        span=span(),
    )


def multipart(url: str, parts: str) -> nodes.HttpMultipart:
    return nodes.HttpMultipart(url=text(url), parts=text(parts), span=span())


def await_instance(instance_id: str, timeout: int | None = None, name: str | None = None) -> nodes.AwaitInstance:
    return nodes.AwaitInstance(
        instance_id=text(instance_id), timeout_seconds=timeout, span=span(), binding=binding(name)
    )


def call(child: Node, label: str | None = None, name: str | None = None, /, **options: object) -> nodes.CallChild:
    return nodes.CallChild(
        child=child,
        label=None if label is None else text(label),
        options=tuple(Option(key, value, span(), span()) for key, value in options.items()) or None,
        span=span(),
        binding=binding(name),
    )


def opaque(expression: str, *operands: Node) -> nodes.Opaque:
    return nodes.Opaque(text=expression, operands=operands, span=span())


def definition(node: Node, name: str = "test") -> Definition:
    return Definition(node=node, name=name, span=node.span)


def module(*roots: Node, variables: tuple[str, ...] = ()) -> Module:
    """A module whose text is long enough for every span handed out so far."""
    return Module(
        source=Source("test.df", " " * (next(_places) + 1)),
        definitions=tuple(definition(root, f"test-{number}") for number, root in enumerate(roots, 1)),
        variables=tuple(Variable(name, "", span()) for name in variables),
    )
