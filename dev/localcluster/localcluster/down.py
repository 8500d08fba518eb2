"""Taking the cluster away."""

from __future__ import annotations

import shutil

from localcluster.cleanup import remove_everything, unmount_below
from localcluster.console import Reporter
from localcluster.errors import ClusterError
from localcluster.preflight import require_root_on_linux
from localcluster.record import is_foreign, read_owner, require_own_folder, unlink_state
from localcluster.settings import Settings


def take_down(settings: Settings, reporter: Reporter, *, purge: bool, force: bool) -> None:
    """Remove the cluster with all its data; with `purge` also what was built and fetched.

    Raises:
        ClusterError: another clone made the cluster and `force` is not given.
    """
    require_root_on_linux()
    require_own_folder(settings.paths)
    if is_foreign(settings.paths) and not force:
        raise ClusterError(
            f"this cluster was made by another clone: {read_owner(settings.paths)}",
            next_step="run `make cluster-down` there, or add --force to remove it from here",
        )
    with reporter.step("removing the cluster", "cluster removed"):
        remove_everything(settings)
        unlink_state(settings.paths)
        # The image store lies there; a build that was killed leaves its containers mounted.
        unmount_below(settings.paths.cache)
    if purge and settings.paths.cache.exists():
        with reporter.step("removing built programs", f"removed {settings.paths.cache}"):
            # Go makes the files of fetched modules read-only; root is not held up by that.
            shutil.rmtree(settings.paths.cache)
    elif settings.paths.cache.exists():
        reporter.note(f"kept for the next time: {settings.paths.cache} (--purge removes it)")
