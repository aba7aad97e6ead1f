"""No name leads out of the results, no file runs code, and no record holds a secret."""

from __future__ import annotations

import ast
import os
import pickle
import tarfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from agc.commands.common import cell_folder
from agc.datasets.shared.cifar import convert
from agc.errors import UserError
from agc.files import _UniqueKeys
from agc.grids.cell import Cell
from agc.grids.grid import RESERVED, load_grid
from agc.grids.recipes import read_recipe
from agc.machine.device import Machine
from agc.machine.provenance import ENVIRONMENT
from agc.registry import Registry
from agc.reports.figures.style import file_stem
from tests.conftest import CellMaker
from tests.support.project import GRID, RECIPE

NASTY = st.text(alphabet="./\\~ \n\0ab-é:$`*", min_size=1, max_size=9)
KNOWN = ("..", ".", "../x", "/etc", "-rf", "a/../../b", "~", "$(id)", "\n", "a\0", *RESERVED)


class Bomb:
    """Makes a folder when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.mark),)


@pytest.fixture(scope="module")
def workflows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of workflows with one grid and its recipe."""
    root = tmp_path_factory.mktemp("workflows")
    for kind, name, content in (("grids", "good", GRID), ("recipes", "tiny", RECIPE)):
        (root / kind).mkdir()
        (root / kind / f"{name}.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    return root


def loaded_names(workflows: Path, name: str) -> Iterator[str]:
    """Names of the grid whose file is called so, if there can be such a file and it is taken."""
    path = workflows / "grids" / f"{name}.yaml"
    try:
        if path.parent.resolve() == workflows / "grids" and not path.exists():
            path.write_text(yaml.safe_dump(GRID), encoding="utf-8")
    except (OSError, ValueError):
        return
    for called in (name, str(path)):
        try:
            yield load_grid(called, workflows).name
        except (UserError, ValueError, OSError):
            continue


@given(st.one_of(NASTY, st.sampled_from(KNOWN)))
def test_no_grid_writes_outside_its_own_folder(workflows: Path, name: str) -> None:
    for found in loaded_names(workflows, name):
        assert Path("/results", found).resolve().parent == Path("/results")
        assert found not in RESERVED
        assert not found.startswith(("-", "."))


def test_a_grid_file_of_three_dots_is_refused_by_name(workflows: Path) -> None:
    path = workflows / "grids" / "...yaml"
    path.write_text(yaml.safe_dump(GRID), encoding="utf-8")
    with pytest.raises(UserError, match=r"'\.\.' is no name for a grid"):
        load_grid(str(path))


@given(NASTY)
def test_no_entry_is_registered_under_a_name_that_is_a_path(name: str) -> None:
    registry = Registry("method", "agc.methods")
    try:
        registry.register(name)(dict)
    except ValueError:
        return
    assert Path("/cell/attacks", f"{name}.final.json").resolve().parent == Path("/cell/attacks")


@given(st.lists(st.one_of(NASTY, st.sampled_from(KNOWN)), min_size=1, max_size=4))
def test_no_figure_is_written_outside_its_folder(parts: list[str]) -> None:
    path = Path("/figures", f"{file_stem('summary', *parts)}.png")
    assert path.resolve().parent == Path("/figures")


@given(st.sampled_from(["efficientnet_b0", "lenet300_100", "vgg16_c"]), st.integers(0, 10**9))
def test_a_cell_stays_in_the_cells_folder(
    tiny_cell: CellMaker, architecture: str, seed: int
) -> None:
    made = tiny_cell(architecture=architecture, seed=seed)
    assert cell_folder(Path("/results"), made).resolve().parent == Path("/results/cells")


@pytest.mark.parametrize("what", ["grid", "recipe", "set"])
def test_yaml_makes_no_objects(workflows: Path, tmp_path: Path, what: str) -> None:
    from agc.commands.common import parse_settings

    mark = tmp_path / "ran"
    bomb = f"!!python/object/apply:os.mkdir ['{mark}']"
    path = tmp_path / "bomb.yaml"
    path.write_text(f"description: {bomb}\n", encoding="utf-8")
    read = {
        "grid": lambda: load_grid(str(path)),
        "recipe": lambda: read_recipe(path),
        "set": lambda: parse_settings([f"seed={bomb}"]),
    }[what]
    with pytest.raises(UserError, match=r"python/object|not YAML"):
        read()
    assert not mark.exists()
    yaml.unsafe_load(path.read_text())
    assert mark.exists()  # the bomb is a real one


SAFE_YAML = ("yaml.safe_load", "yaml.safe_dump", "yaml.constructor.ConstructorError")


def calls(repository: Path) -> Iterator[tuple[str, ast.Call]]:
    """Every call in the sources, as the text of what is called."""
    for path in sorted((repository / "agc").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                yield ast.unparse(node.func), node


def test_nothing_in_the_sources_can_unpickle_an_object(repository: Path) -> None:
    seen = set()
    for name, call in calls(repository):
        given = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        assert name not in ("pickle.load", "pickle.loads", "joblib.load", "pd.read_pickle")
        assert not name.startswith("yaml.") or name in SAFE_YAML
        assert given.get("allow_pickle", "False") == "False"
        if name == "torch.load":
            assert given["weights_only"] == "True"
        seen.add(name)
    assert {"torch.load", "np.load", "parse_yaml"} <= seen
    assert issubclass(_UniqueKeys, yaml.SafeLoader)


def test_a_bomb_in_an_archive_of_pickles_is_not_run(tmp_path: Path) -> None:
    from torchvision.datasets import CIFAR10

    mark, path = tmp_path / "ran", tmp_path / CIFAR10.filename
    content = pickle.dumps({"data": Bomb(mark), "labels": [0]}, protocol=2)
    with tarfile.open(path, "w:gz") as archive:
        entry = tarfile.TarInfo(f"{CIFAR10.base_folder}/{CIFAR10.train_list[0][0]}")
        entry.size = len(content)
        archive.addfile(entry, BytesIO(content))
    with pytest.raises(UserError, match=r"data_batch_1 cannot be read: it asks for \w+\.mkdir"):
        convert("CIFAR10", {path.name: path}, tmp_path)
    assert not mark.exists()
    pickle.loads(content)
    assert mark.exists()  # the bomb is a real one


@pytest.mark.parametrize(
    "uri",
    [
        "postgresql://me:hunter2%21@db.example/name",
        "postgresql://db.example/name?user=me&password=hunter2%21",
        "https://me:hunter2%21@tracking.example",
        "sqlite:////tmp/x.db?token=hunter2!",
    ],
)
def test_no_message_about_a_store_shows_its_password(uri: str) -> None:
    from agc.tracking import ui_command
    from agc.tracking.store import store_errors

    for text in (f"cannot reach {uri}", "no role for hunter2!", "hunter2%21 was refused"):
        with pytest.raises(UserError) as caught, store_errors(uri):
            raise OSError(text)
        assert "hunter2" not in str(caught.value)
        assert "***" in str(caught.value)
    assert "hunter2" not in ui_command(uri, Path("artifacts"))


def test_the_page_that_we_offer_listens_on_loopback_alone() -> None:
    from agc.tracking import ui_command

    command = ui_command("sqlite:////tmp/mlflow.db", Path("artifacts"))
    assert "--host 127.0.0.1 " in command


def test_records_name_no_variable_but_those_of_the_list(
    cell: Cell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from agc.runs.train import CellRun

    secret = "a-secret-that-no-file-may-hold"
    for name in ("MLFLOW_TRACKING_PASSWORD", "AWS_SECRET_ACCESS_KEY", "SLURM_JWT", "OMP_X"):
        monkeypatch.setenv(name, secret)
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    machine = Machine("cpu", "cpu", 1, True, ("cpu",))
    assert set(machine.provenance()["environment"]) <= set(ENVIRONMENT)
    assert machine.provenance()["environment"]["SLURM_JOB_ID"] == "17"
    CellRun(cell, tmp_path / cell.slug, machine).train()
    files = [path for path in (tmp_path / cell.slug).iterdir() if path.is_file()]
    assert files
    assert not [path for path in files if secret.encode() in path.read_bytes()]
