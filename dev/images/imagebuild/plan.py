"""One run of the tool: what to build, building it, writing down what it is called."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from imagebuild.delivery import Builder, Delivery
from imagebuild.recipes import RECIPES, Recipe, content_tag, input_files
from imagebuild.references import ImageReference
from localcluster.console import Reporter
from localcluster.errors import ClusterError


def selected_recipes(only: Sequence[str]) -> list[Recipe]:
    """Return the recipes of these names, all if there are none. Raises ClusterError."""
    known = {recipe.name: recipe for recipe in RECIPES}
    for name in only:
        if name not in known:
            raise ClusterError(
                f"there is no image {name}", next_step=f"choose from: {', '.join(known)}"
            )
    return [recipe for recipe in RECIPES if not only or recipe.name in only]


def references(
    root: Path, recipes: Sequence[Recipe], base: str, prefix: str
) -> dict[str, ImageReference]:
    """Return each image's reference as the sources stand now. Raises ClusterError."""
    return {
        recipe.name: ImageReference(
            f"{prefix}/{recipe.repository}", content_tag(recipe, input_files(root, recipe), base)
        )
        for recipe in recipes
    }


def build_images(
    root: Path,
    recipes: Sequence[Recipe],
    builder: Builder,
    delivery: Delivery,
    prefix: str,
    reporter: Reporter,
) -> dict[str, ImageReference]:
    """Build and deliver what is not there yet; return all references. Raises ClusterError."""
    wanted = references(root, recipes, builder.base_identity(), prefix)
    present = delivery.present()
    for recipe in recipes:
        reference = str(wanted[recipe.name])
        if reference in present:
            reporter.note(f"{reference} is there already")
            continue
        with reporter.step(f"building {reference}", f"{reference} built"):
            builder.build(recipe, reference)
        with reporter.step(f"delivering {reference}", f"{reference} delivered"):
            done = delivery.deliver(builder, reference)
        reporter.note(done)
    return wanted
