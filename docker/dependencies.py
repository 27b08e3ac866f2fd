"""Prints what pyproject.toml asks pip for, so that an image's layer of dependencies stays when only the code changes.

usage: dependencies.py EXTRAS WITHOUT [OLD=NEW ...]

EXTRAS and WITHOUT are comma-separated: optional dependencies to add, and packages to leave out. OLD=NEW asks for the
package NEW, in whatever version there is, in the place of OLD.
"""

import re
import sys
import tomllib
from pathlib import Path


def main() -> None:
    """Print one requirement a line."""
    extras, without, *replaced = sys.argv[1:]
    other = dict(pair.split("=", 1) for pair in replaced)
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    asked = list(project["dependencies"])
    for extra in filter(None, extras.split(",")):
        asked += project["optional-dependencies"][extra]
    for requirement in asked:
        name = re.split(r"[^A-Za-z0-9._-]", requirement)[0]
        if name not in without.split(","):
            print(other.get(name, requirement))


if __name__ == "__main__":
    main()
