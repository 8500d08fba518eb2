"""Sizes of the release's images as the node reports them."""

from __future__ import annotations

from collections.abc import Iterable

from workbench.bench.context import Context
from workbench.bench.figures import Figure, Section, Unit
from workbench.bench.ground import Body
from workbench.bench.memory import MEBIBYTE


def measure_images(context: Context, images: dict[str, dict[str, str]]) -> Section:
    """`images` is what `make images` has built: name to repository and tag."""
    nodes = context.ground.plain(context.ground.core.list_node())["items"]
    found = image_sizes(nodes, images)
    missing = sorted(set(images) - set(found))
    notes: tuple[str, ...] = (
        "As the node reports them: what the runtime keeps of an image's layers.",
    )
    if missing:
        # A node lists its 50 largest images unless told otherwise.
        notes += (f"Not listed by any node: {', '.join(missing)}.",)
    return Section(
        "Images",
        tuple(
            Figure(f"image.{name}", name, Unit.MEBIBYTES, (size / MEBIBYTE,))
            for name, size in found.items()
        ),
        notes,
    )


def image_sizes(nodes: Iterable[Body], images: dict[str, dict[str, str]]) -> dict[str, int]:
    """Bytes by image name."""
    listed = {
        name: int(image["sizeBytes"])
        for node in nodes
        for image in node["status"].get("images", ())
        for name in image.get("names", ())
    }
    references = {name: f"{image['repository']}:{image['tag']}" for name, image in images.items()}
    return {name: listed[ref] for name, ref in sorted(references.items()) if ref in listed}
