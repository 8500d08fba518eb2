"""`kubectl agents export`: the workspace as a tar, to a file or to standard output."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

import click
import httpx

from kubectl_agents.errors import Exit, PluginError
from kubectl_agents.gateway import Gateway
from kubectl_agents.options import Settings, common, session_argument, with_settings
from kubectl_agents.screen import Screen
from kubectl_agents.talking import open_gateway
from kubectl_agents.watching import StatusWatch

# The gateway waits two minutes for a run that hands the workspace over.
WAIT_SECONDS: Final = 150.0
KIB: Final = 1024
MIB: Final = 1024 * 1024


@click.command()
@common
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    help="Where the tar goes; - is standard output. Without it: NAME.tar, or a pipe if there is one.",
)
@click.option("--force", is_flag=True, help="Replace FILE if it is there.")
@session_argument
@with_settings
def export(settings: Settings, name: str, output: str | None, *, force: bool) -> None:
    """Save a session's workspace as a tar.

    A live run hands it over beside its work. A sleeping session gets a run without an agent for it,
    one suspended by hand too; it sleeps again afterwards. What the agent's program keeps for itself
    (/workspace/.agentsession) is left out. Names that cannot be read are listed in
    EXPORT-LEFT-OUT.txt inside of the tar.

    \b
    Examples:
      kubectl agents export hello -n agents -o hello.tar
      kubectl agents export hello -n agents | tar -x -C somewhere
    """
    target = output or ("-" if not sys.stdout.isatty() else f"{name}.tar")
    if settings.as_json and target == "-":
        raise click.UsageError("--json and a tar cannot both go to standard output: use -o FILE")
    if target != "-" and not force and Path(target).exists():
        raise PluginError(
            Exit.REFUSED, f"{target} is there already", "name another, or add --force"
        )
    settings.kubectl.session(name)
    screen = Screen(sys.stderr)
    with open_gateway(settings, name) as gateway, _target(target) as file:
        size = _receive(settings, gateway, name, file, screen)
    if settings.as_json:
        click.echo(json.dumps({"file": target, "bytes": size}))
    elif target != "-":
        click.echo(f"{target}: {_amount(size)}", err=True)


def _receive(
    settings: Settings, gateway: Gateway, name: str, file: BinaryIO, screen: Screen
) -> int:
    size = 0
    watch = StatusWatch(settings.kubectl, name, screen.busy)
    screen.busy("waiting for a run that hands the workspace over")
    watch.start()
    try:
        with gateway.stream("/export", WAIT_SECONDS) as response:
            for piece in response.iter_bytes():
                watch.stop()
                file.write(piece)
                size += len(piece)
                screen.busy(f"{_amount(size)} received")
    except httpx.TimeoutException:
        raise _cut("the workspace stopped coming", size) from None
    except httpx.TransportError as error:
        raise _cut(f"the workspace was cut off: {error}", size) from None
    finally:
        watch.stop()
        screen.calm()
    return size


def _cut(cause: str, size: int) -> PluginError:
    return PluginError(
        Exit.FAILED, f"{cause} after {_amount(size)}", "what came is no whole tar; try again"
    )


@contextmanager
def _target(target: str) -> Iterator[BinaryIO]:
    """A file that is there only when it is whole, or standard output."""
    if target == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    path = Path(target)
    part = path.with_name(f"{path.name}.part")
    try:
        file = part.open("wb")
    except OSError as error:
        raise PluginError(
            Exit.USAGE, f"{part} cannot be written: {error.strerror}", "name another with -o"
        ) from None
    try:
        with file:
            yield file
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _amount(size: int) -> str:
    return f"{size / MIB:.1f} MiB" if size >= MIB else f"{size / KIB:.1f} KiB"
