"""Training: the same seed the same run, an interruption that leaves no trace, and every loss and sampler learning."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from model.batch import PackedGraphs
from model.checkpoint import load_checkpoint
from model.dataset import SceneGraphDataset
from model.errors import ConfigError, DataError
from model.vocabulary import UNKNOWN_ID
from model.word_vectors import WordVectors
from tests.conftest import skip_or_fail
from tests.random_graphs import packed
from tests.small_dataset import small_dataset
from training.config import TrainingConfig, load_recipe
from training.initial import initial_embeddings, new_encoder
from training.objective import StepLoss, TripleObjective, hide_names
from training.similarity import CaptionSimilarity, supervised_images
from training.trainer import choose_device, train

SMALL = ["hidden=12", "layers=2", "batch_size=8", "device=cpu"]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> SceneGraphDataset:
    return small_dataset(tmp_path_factory.mktemp("data") / "dataset")


def config(*settings: str) -> TrainingConfig:
    return load_recipe("paper", [*SMALL, *settings])


def weights(run: Path, which: str = "last") -> dict[str, torch.Tensor]:
    return load_checkpoint(run / which).encoder.state_dict()


def assert_same_weights(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> None:
    assert left.keys() == right.keys()
    for name, tensor in left.items():
        assert torch.equal(tensor, right[name]), name


def test_the_same_seed_gives_the_same_run_and_another_seed_another(dataset: SceneGraphDataset, tmp_path: Path) -> None:
    first = train(config("epochs=2"), dataset, tmp_path / "a")
    second = train(config("epochs=2"), dataset, tmp_path / "b")
    other = train(config("epochs=2", "seed=1"), dataset, tmp_path / "c")
    assert_same_weights(weights(tmp_path / "a"), weights(tmp_path / "b"))
    assert [epoch["loss"] for epoch in first.history] == [epoch["loss"] for epoch in second.history]
    assert other.history[0]["loss"] != first.history[0]["loss"]


class InterruptionError(Exception):
    pass


def test_an_interrupted_run_resumed_gives_the_same_weights(
    dataset: SceneGraphDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(config("epochs=4"), dataset, tmp_path / "whole")

    steps = 0
    adam_step = torch.optim.Adam.step

    def step(self: torch.optim.Adam) -> None:
        nonlocal steps
        steps += 1
        if steps == 11:  # four steps an epoch: in the middle of the third
            raise InterruptionError
        adam_step(self)

    monkeypatch.setattr(torch.optim.Adam, "step", step)
    with pytest.raises(InterruptionError):
        train(config("epochs=4"), dataset, tmp_path / "resumed")
    monkeypatch.undo()
    assert len(json.loads((tmp_path / "resumed" / "metrics.json").read_text())) == 2

    resumed = train(config("epochs=4"), dataset, tmp_path / "resumed", resume=True)
    for which in ("last", "best"):
        assert_same_weights(weights(tmp_path / "whole", which), weights(tmp_path / "resumed", which))
    untimed = [
        [{k: v for k, v in epoch.items() if k not in ("graphs_per_second", "seconds")} for epoch in run.history]
        for run in (whole, resumed)
    ]
    assert untimed[0] == untimed[1]
    assert resumed.best_epoch == whole.best_epoch


def test_a_run_interrupted_in_its_first_epoch_resumes_from_the_start(
    dataset: SceneGraphDataset, tmp_path: Path
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text("{}")
    train(config("epochs=1"), dataset, tmp_path / "run", resume=True)
    train(config("epochs=1"), dataset, tmp_path / "fresh")
    assert_same_weights(weights(tmp_path / "run"), weights(tmp_path / "fresh"))


def test_a_finished_run_goes_on_for_more_epochs(dataset: SceneGraphDataset, tmp_path: Path) -> None:
    train(config("epochs=1"), dataset, tmp_path / "run")
    assert train(config("epochs=3"), dataset, tmp_path / "run", resume=True).epoch == 3


class Clock:
    """A clock on which a training step takes a minute, and nothing else takes any time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.minutes = 0
        adam_step = torch.optim.Adam.step

        def step(adam: torch.optim.Adam) -> None:
            self.minutes += 1
            adam_step(adam)

        monkeypatch.setattr(torch.optim.Adam, "step", step)
        monkeypatch.setattr("training.trainer.perf_counter", lambda: 60.0 * self.minutes)


def test_a_time_budget_ends_a_run_within_an_epoch_and_more_time_goes_on_with_the_next(
    dataset: SceneGraphDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    cut = train(config("epochs=9"), dataset, tmp_path / "run", minutes=6)  # four steps an epoch
    assert [(epoch["seconds"], epoch["complete"]) for epoch in cut.history] == [(240, 1), (120, 0)]
    assert load_checkpoint(tmp_path / "run" / "last").metadata["epoch"] == 2
    assert "val_row_kendall_tau" in cut.history[1]

    assert train(config("epochs=9"), dataset, tmp_path / "run", minutes=6, resume=True).history == cut.history
    assert clock.minutes == 6
    longer = train(config("epochs=9"), dataset, tmp_path / "run", minutes=11, resume=True)
    assert longer.history[:2] == cut.history
    assert [(epoch["seconds"], epoch["complete"]) for epoch in longer.history[2:]] == [(240, 1), (60, 0)]
    assert longer.seconds == 660
    assert train(config("epochs=5"), dataset, tmp_path / "run", minutes=60, resume=True).epoch == 5


def test_a_time_budget_that_is_not_used_up_changes_nothing(dataset: SceneGraphDataset, tmp_path: Path) -> None:
    train(config("epochs=1"), dataset, tmp_path / "a")
    train(config("epochs=1"), dataset, tmp_path / "b", minutes=600)
    assert_same_weights(weights(tmp_path / "a"), weights(tmp_path / "b"))


def test_no_time_is_a_clear_error(dataset: SceneGraphDataset, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="leaves no time"):
        train(config(), dataset, tmp_path / "run", minutes=0)


def test_a_run_in_use_is_not_overwritten(dataset: SceneGraphDataset, tmp_path: Path) -> None:
    train(config("epochs=1"), dataset, tmp_path / "run")
    with pytest.raises(DataError, match="in use"):
        train(config("epochs=1"), dataset, tmp_path / "run")
    with pytest.raises(ConfigError, match="batch_size was 8 and is 4"):
        train(config("epochs=1", "batch_size=4"), dataset, tmp_path / "run", resume=True)
    with pytest.raises(DataError, match="other data"):
        train(config("epochs=2"), small_dataset(tmp_path / "other", seed=1), tmp_path / "run", resume=True)
    with pytest.raises(DataError, match="nothing to resume"):
        train(config("epochs=1"), dataset, tmp_path / "typo", resume=True)
    (tmp_path / "run" / "training_state.safetensors").write_bytes(b"damaged")
    with pytest.raises(DataError, match="damaged"):
        train(config("epochs=2"), dataset, tmp_path / "run", resume=True)


@pytest.mark.parametrize("loss", ["ranking", "triplet", "infonce"])
@pytest.mark.parametrize("sampler", ["random", "extreme", "probability", "reject"])
def test_every_loss_falls_with_every_sampler(loss: str, sampler: str, dataset: SceneGraphDataset) -> None:
    recipe = config(f"loss={loss}", f"sampler={sampler}", "temperature=0.2", "unknown_rate=0")
    members, captions = supervised_images(dataset, "train", "captions")
    objective = TripleObjective(recipe, dataset.graphs.select(members), CaptionSimilarity(torch.from_numpy(captions)))
    encoder = new_encoder(recipe, dataset).train()

    def encode(graphs: PackedGraphs) -> torch.Tensor:
        embeddings: torch.Tensor = encoder(graphs.to_batch())
        return embeddings

    optimizer = torch.optim.Adam(encoder.parameters(), lr=0.01)
    excesses = []
    for _ in range(30):  # the same triples again and again: the Probability sampler's own noise would hide the fall
        step = objective(encode, torch.arange(16), torch.Generator().manual_seed(0), np.random.default_rng(0))
        optimizer.zero_grad()
        step.loss.backward()  # type: ignore[no-untyped-call]  # torch has no types here
        optimizer.step()
        excesses.append(step.excess.item())
    assert excesses[-1] < 0.7 * excesses[0]
    assert min(excesses) > -1e-6


def test_the_best_checkpoint_is_that_of_the_best_validation_score(dataset: SceneGraphDataset, tmp_path: Path) -> None:
    state = train(config("epochs=5", "learning_rate=0.01"), dataset, tmp_path / "run")
    scores = [epoch["val_row_kendall_tau"] for epoch in state.history]
    assert state.best_epoch == 1 + int(np.argmax(scores))
    assert load_checkpoint(tmp_path / "run").metadata["epoch"] == state.best_epoch
    assert load_checkpoint(tmp_path / "run" / "last").metadata["epoch"] == 5


def test_a_run_that_diverges_says_so_and_keeps_its_last_good_epoch(
    dataset: SceneGraphDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(config("epochs=1"), dataset, tmp_path / "run")
    before = weights(tmp_path / "run")
    monkeypatch.setattr(TripleObjective, "_loss", lambda *_: StepLoss(torch.tensor(torch.nan), torch.tensor(torch.nan)))
    monkeypatch.setattr(torch.Tensor, "backward", lambda _: None)
    with pytest.raises(ConfigError, match=r"loss is nan in epoch 2; .* lower --set learning_rate"):
        train(config("epochs=2"), dataset, tmp_path / "run", resume=True)
    assert_same_weights(weights(tmp_path / "run"), before)


def test_bf16_autocast_trains(dataset: SceneGraphDataset, tmp_path: Path) -> None:
    history = train(config("epochs=1", "precision=bf16"), dataset, tmp_path / "run").history
    full = train(config("epochs=1"), dataset, tmp_path / "full").history
    assert history[0]["loss"] != full[0]["loss"]
    assert history[0]["loss"] == pytest.approx(full[0]["loss"], abs=0.01)


def test_dgl_trains_as_torch_does_and_a_resumed_run_may_change_between_them(
    dataset: SceneGraphDataset, tmp_path: Path
) -> None:
    if importlib.util.find_spec("dgl") is None:
        skip_or_fail("dgl", "DGL is not installed")
    whole = train(config("epochs=2"), dataset, tmp_path / "torch").history
    train(config("epochs=1", "engine=dgl"), dataset, tmp_path / "dgl")
    resumed = train(config("epochs=2", "engine=torch"), dataset, tmp_path / "dgl", resume=True).history
    assert [epoch["loss"] for epoch in resumed] == pytest.approx([epoch["loss"] for epoch in whole], abs=1e-5)


def test_hidden_names_become_the_unknown_at_the_rate_asked_for() -> None:
    graphs = packed(2000)
    hidden = hide_names(graphs, 0.2, np.random.default_rng(0))
    for before, after in ((graphs.objects, hidden.objects), (graphs.predicates, hidden.predicates)):
        known = before != UNKNOWN_ID
        assert (after[~known] == UNKNOWN_ID).all()
        assert set(after[known][after[known] != before[known]]) == {UNKNOWN_ID}
        assert (after[known] == UNKNOWN_ID).mean() == pytest.approx(0.2, abs=0.02)
    assert hide_names(graphs, 0, np.random.default_rng(0)) is graphs


def test_the_unknown_is_learned(dataset: SceneGraphDataset, tmp_path: Path) -> None:
    train(config("epochs=1", "unknown_rate=0.2"), dataset, tmp_path / "a")
    train(config("epochs=2", "unknown_rate=0.2"), dataset, tmp_path / "b")
    for table in ("object_embedding.weight", "predicate_embedding.weight"):
        assert not torch.equal(weights(tmp_path / "a")[table][UNKNOWN_ID], weights(tmp_path / "b")[table][UNKNOWN_ID])


def test_embeddings_start_from_the_words_of_the_names() -> None:
    words = WordVectors(["image", "traffic", "light"], np.array([[1, 0], [0, 2], [4, 0]], np.float32))
    rows = initial_embeddings(["__image__", "__unknown__", "traffic light", "xyzzy"], words, np.random.default_rng(0))
    assert rows[0].tolist() == [1, 0]
    assert rows[2].tolist() == [2, 1]
    assert rows[1].tolist() == [1.5, 0.5]  # the mean of those that have a vector
    assert torch.isfinite(rows[3]).all()
    assert rows[3].abs().sum() > 0


def test_too_few_captions_are_a_clear_error(dataset: SceneGraphDataset, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="only 0 training images have phrases"):
        train(config("supervision=phrases"), dataset, tmp_path / "run")


@pytest.mark.parametrize("device", ["cuda:99", "quantum"])
def test_a_device_that_is_not_here_is_a_clear_error(device: str) -> None:
    with pytest.raises(ConfigError, match="device=cpu"):
        choose_device(device)


def test_the_default_recipe_is_done_without_an_epoch(dataset: SceneGraphDataset, tmp_path: Path) -> None:
    recipe = load_recipe("default", ["caption_dimension=4", "identity_dimension=64", "device=cpu"])
    state = train(recipe, dataset, tmp_path / "run", minutes=0.01)
    assert (state.epoch, state.seconds) == (0, 0)
    assert json.loads((tmp_path / "run" / "metrics.json").read_text()) == []
    checkpoint = load_checkpoint(tmp_path / "run")
    assert_same_weights(checkpoint.encoder.state_dict(), new_encoder(recipe, dataset).state_dict())
    figures = checkpoint.metadata["figures"]
    assert figures["val_both_goals"] == pytest.approx(
        figures["val_row_kendall_tau"] + figures["val_recall_at_1_of_a_quarter"]
    )
    train(recipe, dataset, tmp_path / "run", resume=True)
    assert_same_weights(weights(tmp_path / "run", "best"), checkpoint.encoder.state_dict())


def test_the_default_recipe_goes_on_by_gradient(dataset: SceneGraphDataset, tmp_path: Path) -> None:
    settings = ["caption_dimension=4", "identity_dimension=64", "batch_size=8", "device=cpu"]
    train(load_recipe("default", settings), dataset, tmp_path / "run")
    start = weights(tmp_path / "run")
    state = train(load_recipe("default", [*settings, "epochs=2"]), dataset, tmp_path / "run", resume=True)
    scores = [epoch["val_both_goals"] for epoch in state.history]
    assert state.best_epoch == 1 + int(np.argmax(scores))
    for table in ("caption_embedding.weight", "subject_role.weight", "predicate_weight.weight"):
        assert not torch.equal(start[table], weights(tmp_path / "run")[table])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["encoder=convolution"], "start is 'linear'; it must be 'words' for the graph convolution"),
        (["encoder=convolution", "start=words"], "epochs is 0; it must be at least 1"),
        (["identity_share=1.5"], "identity_share is 1.5; it must be from 0 to 1"),
        (["caption_dimension=1"], "caption_dimension is 1; it must be at least 2"),
    ],
)
def test_impossible_settings_of_the_default_recipe(settings: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_recipe("default", settings)
