"""What commands say: tables for people, JSON for programs. rich is loaded for a table only."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click

from orchestrator_cli.errors import CommandError

WIDTH = 80
# Columns that are copied or compared, hence never folded: ids and times.
WHOLE = frozenset(
    {"Task", "Created", "Last Updated", "Last used", "Opened", "Reported", "Set", "Until"}
)


def say_json(value: object) -> None:
    """One JSON document on standard output; for programs without spaces, which cost an agent tokens."""
    text = _json(value, indent=2) if sys.stdout.isatty() else _json(value, separators=(",", ":"))
    click.echo(text)


def say_line(value: object) -> None:
    """One line of NDJSON on standard output, at once."""
    click.echo(_json(value))
    sys.stdout.flush()


def say_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table; on a terminal as wide as that, else 80 columns. Ids are never cut."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    terminal = sys.stdout.isatty()
    console = Console(width=None if terminal else WIDTH, highlight=False, soft_wrap=False)
    table = Table(box=box.SQUARE if terminal else box.ASCII)
    for number, name in enumerate(columns):
        table.add_column(name, no_wrap=number == 0 or name in WHOLE, overflow="fold")
    empty = True
    for row in rows:
        empty = False
        # As text: what users call their things is no markup.
        table.add_row(*(Text(printable(cell)) for cell in row))
    if empty:
        click.echo(f"{title}: none")
        return
    # Not as the table's own: that would be folded where the table is narrow.
    click.echo(printable(title))
    console.print(table)


def say_fields(fields: Mapping[str, object]) -> None:
    """Names and values, one a line."""
    width = max(len(name) for name in fields)
    for name, value in fields.items():
        click.echo(f"{name:<{width}}  {printable('-' if value in (None, '') else str(value))}")


def marked(found: Mapping[str, Any], *, dry_run: bool, ids: Sequence[str] = ()) -> dict[str, Any]:
    """The object, with `dry_run` where nothing was changed; `ids` are of what was not made, hence none."""
    return {**found, **dict.fromkeys(ids), "dry_run": True} if dry_run else dict(found)


def say_note(text: str, *, as_json: bool) -> None:
    """Something besides the answer, on standard error: to programs a line of JSON."""
    click.echo(_json({"kind": "note", "message": text}) if as_json else printable(text), err=True)


def say_lines(lines: Iterable[Mapping[str, str]]) -> None:
    """Lines of a log for people."""
    for line in lines:
        click.echo(f"{line['at'][:19]}Z {line['kind']:<10} {printable(line['message'])}")


def moment(value: str | None) -> str:
    """A time of the API as people read it, in UTC."""
    return "-" if not value else f"{value[:10]} {value[11:16]}"


def say_error(error: CommandError, *, as_json: bool) -> None:
    """The cause and the next thing to do, on standard error."""
    if as_json:
        click.echo(_json(error.as_json()), err=True)
        return
    click.echo(f"✘ {printable(error.message)} ({printable(error.code)})", err=True)
    if error.hint:
        click.echo(f"  → {error.hint}", err=True)
    if error.request_id:
        click.echo(f"  request {printable(error.request_id)}", err=True)


def _json(value: object, **how: Any) -> str:
    """JSON that people can read, with escapes for what could move the terminal's cursor."""
    text = json.dumps(value, ensure_ascii=False, **how)
    return "".join(
        char if char.isprintable() or char == "\n" else json.dumps(char)[1:-1] for char in text
    )


def printable(text: object) -> str:
    """The text, with nothing that could move the terminal's cursor: it may be anybody's."""
    return "".join(char if char.isprintable() or char == "\n" else "�" for char in str(text))
