"""Going back to an index version that is still on the disk."""

import logging

from service.errors import IndexVersionError, NotFoundError, ReindexRunningError, RollbackError
from service.index.manifest import IndexManifest
from service.index.state import Store
from service.jobs import Jobs

_PATIENCE = 1.0  # seconds that it waits for another switch to be over

_log = logging.getLogger(__name__)


def roll_back(store: Store, jobs: Jobs, version: str | None = None) -> IndexManifest:
    """Verify a version and make it the one in use; what it lacks of the catalogue is taken in by who uses it.

    A reindex that begins meanwhile switches afterwards; two of these come one after the other.

    Args:
        store: where versions live.
        jobs: tells whether a reindex is under way.
        version: the one to use; by default the newest usable one that is older than the one in use.

    Raises:
        NotFoundError: there is no such version.
        ReindexRunningError: a reindex is under way.
        RollbackError: there is none to go back to, it is damaged, or another switch is under way.
    """
    if (job := jobs.active()) is not None:
        raise ReindexRunningError(job.id)
    with store.switching(_PATIENCE):
        chosen = _newest_older(store) if version is None else version
        if chosen not in store.names():
            raise NotFoundError(f"there is no index version {chosen!r}; GET /index/versions lists those there are")
        try:
            manifest = store.open(chosen).manifest
        except IndexVersionError as error:
            _log.error("cannot go back to index version %s: %s", chosen, error)
            raise RollbackError(
                f"index version {chosen} is damaged or was made by another release, the service's log tells more; "
                "name another one of GET /index/versions, or reindex"
            ) from None
        store.use(chosen)
    _log.info("went back to index version %s of %d images", chosen, manifest.count)
    return manifest


def _newest_older(store: Store) -> str:
    try:
        current = store.current()
    except IndexVersionError:
        current = None  # whichever it was, any that can be used is better
    for name, manifest in store.manifests().items():
        if manifest is not None and (current is None or name < current):
            return name
    raise RollbackError("there is no older index version to go back to; GET /index/versions lists those there are")
