"""Before the service starts: sees that there is an index, if there are images.

With SCENERANK_DEMO=1 an empty catalogue gets an invented world first. The index is made with the model that comes with
SceneRank, or the one that SCENERANK_CHECKPOINT names. Where there is an index nothing is done, so this may run at
every start.
"""

import os
import shutil
import subprocess
import sys

from model.errors import SceneRankError
from service.catalogue import Catalogue
from service.database import open_database
from service.errors import IndexVersionError
from service.index.backend import open_store
from service.settings import Settings


def main() -> None:
    """Do what is missing."""
    settings = Settings.load()
    try:
        has_index = open_store(settings).current() is not None
    except IndexVersionError as error:  # the service starts and tells of it; a reindex mends it
        print(error)
        return
    if has_index:
        print("There is an index already.")
        return
    catalogue = Catalogue(open_database(settings.database))
    if settings.pictures_dir is not None and catalogue.count() == 0 and os.environ.get("SCENERANK_DEMO") == "1":
        world = settings.pictures_dir / "demo-world"  # its pictures are for the page to show
        shutil.rmtree(world, ignore_errors=True)
        _scenerank("demo-world", "--out", str(world))
        _scenerank("import", str(world))
    if catalogue.count() == 0:
        print("The catalogue is empty; import images and build the index, or start with SCENERANK_DEMO=1.")
        return
    _scenerank("index", "build")


def _scenerank(*arguments: str) -> None:
    if status := subprocess.run(["scenerank", *arguments], check=False).returncode:
        sys.exit(status)


if __name__ == "__main__":
    try:
        main()
    except SceneRankError as error:
        sys.exit(f"Error: {error}")
