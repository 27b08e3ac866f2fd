"""`scenerank import`, as a user runs it."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

from service.catalogue import Catalogue
from service.database import open_database
from tests.integration.conftest import PATIENCE, Place, until

LARGE = 10_000  # images that take a while to import, with many objects each


def test_gqas_file_is_imported_and_of_images_with_one_id_the_last_counts(empty_place: Place, tmp_path: Path) -> None:
    gqa = tmp_path / "val_sceneGraphs.json"
    dog = {"5": {"name": "dog", "relations": [{"name": "on", "object": "5"}]}}
    gqa.write_text(json.dumps({"1": {"width": 5, "height": 6, "objects": dog}, "2": {"objects": {}}}))
    imported = empty_place.run("import", str(gqa))
    assert imported.stdout == "1 images read, 1 without objects left out; 1 in the catalogue.\n", imported.stderr

    lines = tmp_path / "graphs.jsonl"
    lines.write_text("".join(json.dumps({"image_id": 1, "objects": [name]}) + "\n" for name in ("cat", "horse")))
    again = empty_place.run("import", str(lines))
    assert "2 images read, 1 of them again with the id of an earlier one" in again.stdout, again.stderr
    engine = open_database(empty_place.database_url)
    image = Catalogue(engine).get("1")
    engine.dispose()
    assert image is not None
    assert [item["name"] for item in image.graph["objects"]] == ["horse"]


def test_ctrl_c_keeps_what_it_tells_and_the_same_command_goes_on(empty_place: Place, tmp_path: Path) -> None:
    graphs = tmp_path / "graphs.jsonl"
    objects = json.dumps(["dog"] * 40)
    graphs.write_text("".join(f'{{"image_id": {number}, "objects": {objects}}}\n' for number in range(LARGE)))
    engine = open_database(empty_place.database_url)
    catalogue = Catalogue(engine)
    command = [sys.executable, "-m", "scenerank", "import", str(graphs)]
    with subprocess.Popen(
        command, env=empty_place.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        until(catalogue.count, "the import is under way", every=0.005)
        process.send_signal(signal.SIGSTOP)  # else it might be done before this one has its turn
        assert catalogue.count() < LARGE, "halted too late: make LARGE larger"
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGCONT)
        _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, said
    assert "Traceback" not in said
    told = re.search(r"Stopped: (\d+) images are in the catalogue; give the same command again", said)
    assert told is not None, said
    assert catalogue.count() == int(told[1]) < LARGE
    engine.dispose()

    again = empty_place.run("import", str(graphs))
    assert (again.returncode, f"{LARGE} in the catalogue" in again.stdout) == (0, True), again.stderr


def test_help_shows_how(empty_place: Place) -> None:
    shown = empty_place.run("import", "--help").stdout
    assert "scenerank import train_sceneGraphs.json" in shown
