"""`pgweave lsp`: the language server, over standard input and output.

The thin half: it speaks the protocol and keeps documents; what there is to say about a place is `compiler.assist`, what
is wrong with a text is `workflow.findings`, both computed again after every change. Lines and columns of the protocol count
UTF-16 units unless the editor wants it otherwise; pgweave counts characters.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from lsprotocol import types
from pygls.exceptions import JsonRpcInvalidParams
from pygls.lsp.server import LanguageServer

from pgweave.compiler.assist import Assistant, CannotRename
from pgweave.config import Config, load
from pgweave.formatting import format as formatted
from pgweave.grammar.diagnostics import Severity
from pgweave.grammar.span import Source, Span
from pgweave.runtime.errors import PgweaveError
from pgweave.texts import ProgramError
from pgweave.version import __version__
from pgweave.workflow import findings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pgweave.compiler.assist import Symbol
    from pgweave.grammar.diagnostics import Diagnostic, Edit

_SEVERITIES = {
    Severity.ERROR: types.DiagnosticSeverity.Error,
    Severity.WARNING: types.DiagnosticSeverity.Warning,
    Severity.INFO: types.DiagnosticSeverity.Information,
}
_UNUSED = frozenset({"PW211"})  # shown greyed out
_KINDS = {
    "call": types.CompletionItemKind.Function,
    "name": types.CompletionItemKind.Variable,
    "column": types.CompletionItemKind.Field,
    "option": types.CompletionItemKind.Property,
    "value": types.CompletionItemKind.EnumMember,
    "variable": types.CompletionItemKind.Constant,
    "argument": types.CompletionItemKind.Property,
}
_UNITS = {
    types.PositionEncodingKind.Utf8: lambda text: len(text.encode(errors="surrogatepass")),
    types.PositionEncodingKind.Utf16: lambda text: len(text.encode("utf-16-le", errors="surrogatepass")) // 2,
    types.PositionEncodingKind.Utf32: len,
}


@dataclass
class Document:
    """One text as the editor has it, and what is known about it. encoding: how the protocol counts columns."""

    uri: str
    source: Source
    encoding: str
    assistant: Assistant = field(init=False)

    def __post_init__(self) -> None:
        self.assistant = Assistant(self.source)

    def position(self, offset: int) -> types.Position:
        """A place as the protocol counts."""
        location = self.source.location(offset)
        start = self.source.line_starts[location.line - 1]
        return types.Position(location.line - 1, self._units(self.source.text[start:offset]))

    def offset(self, position: types.Position) -> int:
        """A place as we count. What lies behind the end of a line or of the text is taken for that end."""
        if position.line >= self.source.line_count:
            return len(self.source.text)
        start = self.source.line_starts[position.line]
        line = self.source.line(position.line + 1)
        # The protocol counts UTF-16 units unless agreed otherwise: one for é, two for an emoji. Python counts
        # both as one character.
        units = 0
        for index, character in enumerate(line):
            # >= and not ==: a place within a surrogate pair is taken for the next character.
            if units >= position.character:
                return start + index
            units += self._units(character)
        return start + len(line)

    def range(self, span: Span) -> types.Range:
        """A span as the protocol counts."""
        return types.Range(self.position(span.start), self.position(span.end))

    def edits(self, edits: Iterable[Edit]) -> list[types.TextEdit]:
        """Our edits as the protocol's."""
        return [types.TextEdit(self.range(edit.span), edit.text) for edit in edits]

    def _units(self, text: str) -> int:
        return len(text) if text.isascii() else _UNITS[types.PositionEncodingKind(self.encoding)](text)


class Server(LanguageServer):
    """The server's state: the texts that are open, and the configuration of the folder."""

    def __init__(self) -> None:
        # Whole texts: the protocol's lines end where Python's do not, so that edits by line could go astray.
        super().__init__("pgweave", __version__, text_document_sync_kind=types.TextDocumentSyncKind.Full)
        self.documents: dict[str, Document] = {}
        self.settings = Config()

    def document(self, uri: str) -> Document:
        """An open text. JsonRpcInvalidParams when it is not open: a mistake of the editor's."""
        found = self.documents.get(uri)
        if found is None:
            raise JsonRpcInvalidParams(f"{uri} is not open")
        return found

    def update(self, uri: str, text: str) -> None:
        """Take a text as it is now and say what is wrong with it."""
        encoding = self.server_capabilities.position_encoding or types.PositionEncodingKind.Utf16
        document = Document(uri, Source(_path(uri), text), encoding)
        self.documents[uri] = document
        self.text_document_publish_diagnostics(
            types.PublishDiagnosticsParams(uri, [_diagnostic(document, found) for found in self.found(document)])
        )

    def found(self, document: Document) -> list[Diagnostic]:
        """Findings that the configuration wants to hear of."""
        return [found for found in findings(document.source, self.settings.target) if self.settings.selects(found.code)]


def _path(uri: str) -> str:
    """What a text is called; the suffix tells its form."""
    parts = urlsplit(uri)
    return unquote(parts.path) if parts.scheme == "file" else unquote(uri)


def _diagnostic(document: Document, found: Diagnostic) -> types.Diagnostic:
    related = [
        types.DiagnosticRelatedInformation(types.Location(document.uri, document.range(note.span)), note.text)
        for note in found.notes
    ]
    message = "\n".join(part for part in (found.title, found.label, found.help) if part)
    return types.Diagnostic(
        range=document.range(found.span),
        message=message,
        severity=_SEVERITIES[found.severity],
        code=found.code,
        source="pgweave",
        tags=[types.DiagnosticTag.Unnecessary] if found.code in _UNUSED else None,
        related_information=related or None,
    )


def create() -> Server:
    """Make a server with all that it can do."""
    server = Server()
    for method, handler in _HANDLERS.items():
        server.feature(method)(handler)  # type: ignore[type-var]
    server.feature(
        types.TEXT_DOCUMENT_COMPLETION, types.CompletionOptions(trigger_characters=["$", ".", "{", '"', "'"])
    )(complete)
    server.feature(types.TEXT_DOCUMENT_RENAME, types.RenameOptions(prepare_provider=True))(rename)
    server.feature(
        types.TEXT_DOCUMENT_CODE_ACTION, types.CodeActionOptions(code_action_kinds=[types.CodeActionKind.QuickFix])
    )(code_actions)
    return server


def serve() -> None:
    """Serve one editor until it says goodbye."""
    create().start_io()


def initialized(server: Server, params: types.InitializedParams) -> None:
    """Read the configuration of the folder that the editor has opened."""
    folders = [Path(_path(uri)) for uri in server.workspace.folders] or [Path(server.workspace.root_path or ".")]
    try:
        server.settings = load(start=folders[0])
    except PgweaveError as error:
        server.window_show_message(types.ShowMessageParams(types.MessageType.Warning, f"{error} {error.advice}"))


def did_open(server: Server, params: types.DidOpenTextDocumentParams) -> None:
    """A text was opened."""
    server.update(params.text_document.uri, params.text_document.text)


def did_change(server: Server, params: types.DidChangeTextDocumentParams) -> None:
    """A text was changed; the last change holds all of it."""
    server.update(params.text_document.uri, params.content_changes[-1].text)


def did_close(server: Server, params: types.DidCloseTextDocumentParams) -> None:
    """A text was closed: nothing is to be said about it any more."""
    server.documents.pop(params.text_document.uri, None)
    server.text_document_publish_diagnostics(types.PublishDiagnosticsParams(params.text_document.uri, []))


def hover(server: Server, params: types.HoverParams) -> types.Hover | None:
    """Say what this is."""
    document = server.document(params.text_document.uri)
    found = document.assistant.hover(document.offset(params.position))
    if found is None:
        return None
    return types.Hover(types.MarkupContent(types.MarkupKind.Markdown, found.markdown), document.range(found.span))


def complete(server: Server, params: types.CompletionParams) -> types.CompletionList:
    """List what may stand here."""
    document = server.document(params.text_document.uri)
    items = [
        types.CompletionItem(
            one.label,
            kind=_KINDS[one.kind],
            detail=one.detail or None,
            documentation=types.MarkupContent(types.MarkupKind.Markdown, one.documentation)
            if one.documentation
            else None,
            # Editors sort by label unless told otherwise, and ours are best first.
            sort_text=f"{number:04}",
            text_edit=types.TextEdit(document.range(one.span), one.label),
        )
        for number, one in enumerate(document.assistant.complete(document.offset(params.position)))
    ]
    return types.CompletionList(is_incomplete=False, items=items)


def definition(server: Server, params: types.DefinitionParams) -> list[types.Location]:
    """Find where this name comes from."""
    document = server.document(params.text_document.uri)
    spans = document.assistant.definition(document.offset(params.position))
    return [types.Location(document.uri, document.range(span)) for span in spans]


def references(server: Server, params: types.ReferenceParams) -> list[types.Location]:
    """Find who uses this name."""
    document = server.document(params.text_document.uri)
    spans = document.assistant.occurrences(document.offset(params.position))
    return [types.Location(document.uri, document.range(span)) for span in spans]


def highlight(server: Server, params: types.DocumentHighlightParams) -> list[types.DocumentHighlight]:
    """Find the name elsewhere on the screen."""
    document = server.document(params.text_document.uri)
    spans = document.assistant.occurrences(document.offset(params.position))
    return [types.DocumentHighlight(document.range(span)) for span in spans]


def prepare_rename(server: Server, params: types.PrepareRenameParams) -> types.Range | None:
    """Say whether there is a name here."""
    document = server.document(params.text_document.uri)
    found = document.assistant.use_at(document.offset(params.position))
    return document.range(found[1].span) if found else None


def rename(server: Server, params: types.RenameParams) -> types.WorkspaceEdit:
    """Give a name another one, everywhere."""
    document = server.document(params.text_document.uri)
    try:
        edits = document.assistant.rename(document.offset(params.position), params.new_name)
    except CannotRename as refusal:
        raise JsonRpcInvalidParams(str(refusal)) from refusal
    return types.WorkspaceEdit(changes={document.uri: document.edits(edits)})


def formatting(server: Server, params: types.DocumentFormattingParams) -> list[types.TextEdit]:
    """Lay the text out as `pgweave fmt` does; one that does not parse is left alone."""
    document = server.document(params.text_document.uri)
    text = document.source.text
    try:
        new = formatted(text, document.source.name)
    # No message: the findings are on the screen already.
    except ProgramError:
        return []
    return [] if new == text else [types.TextEdit(document.range(Span(0, len(text))), new)]


def symbols(server: Server, params: types.DocumentSymbolParams) -> list[types.DocumentSymbol]:
    """List what is in this text."""
    document = server.document(params.text_document.uri)

    def symbol(one: Symbol, kind: types.SymbolKind) -> types.DocumentSymbol:
        place = document.range(one.span)
        inside = [symbol(child, types.SymbolKind.Variable) for child in one.children]
        return types.DocumentSymbol(one.name, kind, place, place, one.detail or None, children=inside)

    return [symbol(one, types.SymbolKind.Function) for one in document.assistant.symbols()]


def code_actions(server: Server, params: types.CodeActionParams) -> list[types.CodeAction]:
    """List the fixes for this."""
    document = server.document(params.text_document.uri)
    start, end = document.offset(params.range.start), document.offset(params.range.end)
    return [
        types.CodeAction(
            found.fix.title,
            kind=types.CodeActionKind.QuickFix,
            diagnostics=[_diagnostic(document, found)],
            is_preferred=found.fix.safe,
            edit=types.WorkspaceEdit(changes={document.uri: document.edits(found.fix.edits)}),
        )
        for found in server.found(document)
        # Touching is enough, so that the fix is offered with the cursor right behind the word.
        if found.fix and found.span.start <= end and start <= found.span.end
    ]


_HANDLERS = {
    types.INITIALIZED: initialized,
    types.TEXT_DOCUMENT_DID_OPEN: did_open,
    types.TEXT_DOCUMENT_DID_CHANGE: did_change,
    types.TEXT_DOCUMENT_DID_CLOSE: did_close,
    types.TEXT_DOCUMENT_HOVER: hover,
    types.TEXT_DOCUMENT_DEFINITION: definition,
    types.TEXT_DOCUMENT_REFERENCES: references,
    types.TEXT_DOCUMENT_DOCUMENT_HIGHLIGHT: highlight,
    types.TEXT_DOCUMENT_PREPARE_RENAME: prepare_rename,
    types.TEXT_DOCUMENT_FORMATTING: formatting,
    types.TEXT_DOCUMENT_DOCUMENT_SYMBOL: symbols,
}
