"""Servers and their ports. The database itself refuses a port that is taken."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Select, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from agentsession_core.problems import ProblemError
from orchestrator_api import quotas
from orchestrator_api.projects import not_found
from orchestrator_api.tables import Allocation, Project, Server


async def servers(session: AsyncSession) -> Sequence[tuple[Server, int]]:
    """All servers with the number of their taken ports, by name."""
    query = (
        select(Server, func.count(Allocation.id))
        .outerjoin(Allocation, Allocation.server_id == Server.id)
        .group_by(Server.id)
        .order_by(Server.name)
    )
    return [(server, taken) for server, taken in (await session.execute(query)).all()]


async def server_named(session: AsyncSession, name: str) -> Server:
    """The server, locked against others' changes. Raises ProblemError 404."""
    row = await session.scalar(select(Server).where(Server.name == name).with_for_update())
    if row is None:
        raise ProblemError(404, "server_not_found", f"there is no server {name!r}")
    return row


async def remove_server(session: AsyncSession, row: Server) -> None:
    """Removes a server. Raises ProblemError 409 while a port of it is taken."""
    query = select(func.count()).select_from(Allocation).where(Allocation.server_id == row.id)
    taken = await session.scalar(query)
    if taken:
        raise ProblemError(
            409, "server_in_use", f"{taken} ports of {row.name} are taken; release them first"
        )
    await session.delete(row)
    await session.flush()


async def allocate(
    session: AsyncSession,
    project: Project,
    now: datetime,
    *,
    service: str,
    server: str | None,
    port: int | None,
) -> tuple[Allocation, Server, bool]:
    """A port for a service: the one that it has there, else the one asked for, else the lowest free.

    Without `server`, that with the most free ports. Raises ProblemError 404, 409.
    """
    chosen = await server_named(session, server or await _roomiest(session))
    known = await session.scalar(
        select(Allocation).where(
            Allocation.server_id == chosen.id,
            Allocation.project_id == project.id,
            Allocation.service == service,
        )
    )
    if known is not None:
        if port not in (None, known.port):
            raise ProblemError(
                409,
                "service_has_port",
                f"{service} has port {known.port} of {chosen.name}; release that first",
            )
        return known, chosen, False
    await quotas.require_room(session, project.user_id, quotas.PORTS)
    row = Allocation(
        server_id=chosen.id,
        project_id=project.id,
        service=service,
        port=await _free_port(session, chosen, port),
        created_at=now,
    )
    session.add(row)
    await session.flush()
    return row, chosen, True


async def _free_port(session: AsyncSession, server: Server, wanted: int | None) -> int:
    of_server = select(Allocation.port).where(Allocation.server_id == server.id)
    if wanted is not None:
        if not server.first_port <= wanted <= server.last_port:
            raise ProblemError(
                409,
                "port_not_offered",
                f"{server.name} offers ports {server.first_port} to {server.last_port}",
            )
        if await session.scalar(of_server.where(Allocation.port == wanted)) is not None:
            raise ProblemError(409, "port_taken", f"port {wanted} of {server.name} is taken")
        return wanted
    if await session.scalar(of_server.where(Allocation.port == server.first_port)) is None:
        return server.first_port
    found: int | None = await session.scalar(_after_a_taken_one(server))
    if found is None:
        raise ProblemError(409, "server_full", f"no port of {server.name} is free")
    return found


def _after_a_taken_one(server: Server) -> Select[int]:
    """The lowest free port behind one that is taken: found by the index, without reading the others."""
    following = aliased(Allocation)
    taken = select(following.id).where(
        following.server_id == server.id, following.port == Allocation.port + 1
    )
    return (
        select(Allocation.port + 1)
        .where(
            Allocation.server_id == server.id,
            Allocation.port >= server.first_port,
            Allocation.port < server.last_port,
            ~taken.exists(),
        )
        .order_by(Allocation.port)
        .limit(1)
    )


async def _roomiest(session: AsyncSession) -> str:
    taken = (
        select(func.count())
        .select_from(Allocation)
        .where(Allocation.server_id == Server.id)
        .scalar_subquery()
    )
    free = Server.last_port - Server.first_port + 1 - taken
    found = await session.scalar(select(Server.name).order_by(free.desc(), Server.name).limit(1))
    if found is None:
        raise ProblemError(404, "server_not_found", "there is no server; an administrator adds one")
    return found


async def owned(session: AsyncSession, user: str, allocation_id: int) -> tuple[Allocation, Server]:
    """The user's allocation and its server. Raises ProblemError 404."""
    query = (
        select(Allocation, Server)
        .join(Project, Project.id == Allocation.project_id)
        .join(Server, Server.id == Allocation.server_id)
        .where(Allocation.id == allocation_id, Project.user_id == user)
    )
    row = (await session.execute(query)).one_or_none()
    if row is None:
        raise not_found("allocation", allocation_id)
    return row[0], row[1]
