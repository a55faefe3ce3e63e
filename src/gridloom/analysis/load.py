"""Load an analysis file: YAML, then types, then rules and expressions; every error at once, with its place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from gridloom.analysis.models import Analysis
from gridloom.analysis.problems import name_of
from gridloom.analysis.queries import expressions_of
from gridloom.analysis.repair import check_values, without_consequences
from gridloom.analysis.rules import broken_rules
from gridloom.analysis.syntax import Document, Position, decoded, place_of, placed_problems, read_document
from gridloom.errors import AnalysisSyntaxError, GridloomError, InvalidExpression, KeyPath, NotFound, Problems
from gridloom.expressions import Expression, parse, parse_all

_CUTS = ("selection", "training_selection")


@dataclass(frozen=True, kw_only=True)
class LoadedAnalysis:
    """An analysis with the file it came from and the place of each of its keys."""

    analysis: Analysis
    path: Path
    text: str
    places: Mapping[KeyPath, Position]

    def locate(self, key: KeyPath) -> str:
        """`file:line:column` of a key or list item, or of the nearest part around it that the file has."""
        return place_of(self.path, self.places, key)


def load_analysis(path: Path) -> LoadedAnalysis:
    """Load an analysis file.

    Raises NotFound if there is no such file, AnalysisSyntaxError if it is no YAML mapping, and Problems with all
    other errors at once, in the order of the file, each with `where` = file:line:column.
    """
    return load_text(_read(path), path)


def load_text(text: str, path: Path) -> LoadedAnalysis:
    """The same from text; `path` is for the messages and for files given relative to it."""
    try:
        document = read_document(text)
    except AnalysisSyntaxError as error:
        raise error.at(f"{path}:{error.where}") from error
    document = replace(document, places={**document.places, **dict(_numbered_cuts(document))})
    analysis, errors = _check(document)
    if errors or analysis is None:
        raise placed_problems(document, errors, path)
    return LoadedAnalysis(analysis=analysis, path=path, text=text, places=document.places)


def _read(path: Path) -> str:
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        fix = "`gridloom new` writes an analysis file from a ROOT file's own branches."
        raise NotFound("no such analysis file", where=str(path), fix=fix) from error
    except OSError as error:
        fix = "Give the path of a readable YAML file."
        raise NotFound(f"cannot be read: {error.strerror}", where=str(path), fix=fix) from error
    return decoded(content, path)


def _check(document: Document) -> tuple[Analysis | None, list[GridloomError]]:
    """The analysis and all errors of its values; `document.problems` are not repeated."""
    checked = check_values(document.values)
    unreadable = tuple(error.key for _, error in document.problems if error.key)
    errors = without_consequences(checked.errors, unreadable)
    if checked.analysis is not None:
        doubtful = (*checked.doubtful, *unreadable)
        later = (*broken_rules(checked.analysis, doubtful), *_broken_expressions(checked.analysis))
        errors += without_consequences(later, doubtful)
    complete = not checked.errors and not document.problems
    return checked.analysis if complete else None, errors


def _broken_expressions(analysis: Analysis) -> Iterator[GridloomError]:
    definitions, errors = _definitions(analysis.definitions)
    yield from errors
    texts = {key: text for sample in analysis.samples for key, text in expressions_of(analysis, sample)}
    for key, text in texts.items():
        try:
            parse(text, definitions=definitions)
        except InvalidExpression as error:
            yield InvalidExpression(f"{name_of(key)}: {error.what}", fix=error.fix, key=key)


def _definitions(texts: Mapping[str, str]) -> tuple[Mapping[str, Expression], tuple[GridloomError, ...]]:
    """The definitions that can be parsed, and the errors of the others."""
    try:
        return parse_all(texts), ()
    except Problems as problems:
        wrong = {error.key[-1] for error in problems.errors}
        named = tuple(
            InvalidExpression(f"{name_of(error.key)}: {error.what}", fix=error.fix, key=error.key)
            for error in problems.errors
        )
        return parse_all({name: text for name, text in texts.items() if name not in wrong}), named


def _numbered_cuts(document: Document) -> Iterator[tuple[KeyPath, Position]]:
    """Cuts written as `{name: cut}` are found by number, too: that is how the models hold them."""
    for key in _CUTS:
        cuts = document.values.get(key)
        for index, name in enumerate(cuts if isinstance(cuts, dict) else ()):
            yield (key, index), document.places[key, name]
