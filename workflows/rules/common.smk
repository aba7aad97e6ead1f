# Grids become cells here, before the DAG is built: bad input ends the run with one clear line.
import shlex
import sys
from pathlib import Path

from agc.datasets.shared.manifest import MANIFEST
from agc.datasets.shared.place import prepared_folder
from agc.datasets.shared.prepare import source_of, store_key
from agc.errors import UserError
from agc.grids.grid import load_grid
from agc.planning.bundles import bundle
from agc.planning.planned import Request, job_request

RESULTS = config["results"]
REPORTS = config["reports"]

try:
    LOADED = [load_grid(name) for name in config["grid"].split(",")]
except UserError as error:
    sys.exit(f"agc: error: {error}")

GRIDS = {grid.name: grid for grid in LOADED}
PAGES = [name for name, grid in GRIDS.items() if grid.stages is None]
if len(GRIDS) < len({grid.path.resolve() for grid in LOADED}):
    sys.exit(f"agc: error: two grids of {config['grid']} have the same name")

# Where Snakemake keeps files in a folder as its storage (profiles/kubernetes), that folder is what the
# pods have in common. Cells are trained there, as Snakemake moves declared outputs alone, and what a
# job has made is then handed over to where Snakemake looks for it.
STORED = workflow.storage_settings.default_storage_provider == "fs"
VOLUME = workflow.storage_settings.default_storage_prefix if STORED else ""


def handed_over(command):
    # The shell command, after which its outputs lie where Snakemake looks for them.
    if not STORED:
        return command
    moved = (
        ' && for made in {output:q}; do mkdir -p "$(dirname "$made")"'
        ' && cp -rT /"${{made#*/storage/fs/}}" "$made"; done'
    )
    return f"{command}{moved}"


def place(path):
    # As it is, where there is no volume: a parameter written otherwise would run all jobs again.
    return str(Path(VOLUME, path)) if STORED else path


# Jobs use the environment that runs Snakemake, whatever PATH they find.
shell.prefix(
    f'export PATH={shlex.quote(str(Path(sys.executable).parent))}:"$PATH"; '
    + (f"export AGC_DATA_ROOT={shlex.quote(place('data'))}; " if STORED else "")
)

# A cell that two grids share is one cell, and runs once.
CELLS = {cell.slug: cell for grid in GRIDS.values() for cell in grid.cells}


wildcard_constraints:
    cell=r"[\w+.-]+",
    grid=r"[^/]+",
    store=r"[^/]+",


def folder(cell):
    return f"{RESULTS}/cells/{cell}"


def spec(cell):
    # Ancient: the content of a cell's description can never change, as its hash is in the name.
    return ancient(f"{folder(cell)}/cell.json")


def data(cell):
    # What seals the store of the cell's data set; nothing if that needs no preparation. Ancient:
    # a store that is made anew has the same content. On a storage's volume it has to be beforehand.
    dataset = CELLS[cell].dataset
    if STORED or source_of(dataset.name) is None:
        return []
    key = store_key(dataset.name, dataset.options)
    return [ancient(str(prepared_folder(key) / MANIFEST))]


def stamp(cell):
    # Stands for the files of a trained cell. They are no outputs themselves, because Snakemake
    # deletes the outputs of a job that runs again or fails, with the other cells' hours in it.
    return f"{folder(cell)}/.trained"


def start(cell):
    # What stands for the weights that a cell starts from, if they are another cell's.
    source = CELLS[cell].source
    return [] if source is None else [ancient(stamp(source.slug))]


def tuned(grid):
    # Cells of a grid that start from given weights: what can be predicted.
    return [cell for cell in slugs(grid) if CELLS[cell].training.start is not None]


def predictions(grid):
    # Stands for the predictions in the cells' folders; in a partial run they are as they are.
    due = tuned(grid) and not config["partial"]
    return [f"{RESULTS}/{grid}/.predicted"] if due else []


def record(cell):
    return f"{folder(cell)}/record.json"


def records(cells):
    # A partial run takes those that are there.
    every = map(record, cells)
    return [path for path in every if not config["partial"] or Path(path).exists()]


# What makes each store, as arguments of `agc data prepare`.
PREPARATIONS = {
    store_key(dataset.name, dataset.options): [
        dataset.name,
        *(
            f"--set={key}=true"
            for key in source_of(dataset.name).chosen(dataset.options)
        ),
    ]
    for dataset in (cell.dataset for cell in CELLS.values())
    if source_of(dataset.name) is not None
}


def slugs(grid):
    return [cell.slug for cell in GRIDS[grid].cells]


def jobs(size):
    # Bundles of about equal cost. They depend on the grids alone, so every process agrees.
    return [
        [cell.slug for cell in cells] for cells in bundle(list(CELLS.values()), size)
    ]


USUAL = {"train": Request(240, 4000), "attacks": Request(60, 4000)}
"""What a job asks for whose cells nobody can time."""

LIMITS = {"train": config["train_minutes"], "attacks": config["evaluate_minutes"]}


def minutes(cells, awaited, stage):
    return LIMITS[stage] or requested(cells, awaited, stage).minutes


def megabytes(cells, awaited, stage):
    return config["memory_mb"] or requested(cells, awaited, stage).megabytes


def requested(cells, awaited, stage):
    # What a cell will cost is known once it is planned; until then Snakemake writes TBD. On a
    # storage's volume the plans are not where Snakemake runs.
    if STORED:
        return USUAL[stage]
    folders = [Path(folder(cell)) for cell in cells]
    return job_request(folders, list(awaited), stage, USUAL[stage])


# Clusters wait for a GPU as long as they are asked for one.
GPUS = 0 if config["device"] == "cpu" else 1


def devices(cells):
    # How many train a job's cells, a process on each.
    return max(CELLS[cell].training.devices for cell in cells)


def each(cells, threads):
    # Threads of each of a job's processes. A resource, as a changed parameter would rerun the job.
    return max(1, threads // devices(cells))


# The device is a resource, not a parameter: a change of it changes no cell and reruns none.
# A cell that two grids share shows its epochs in the first; the sync adds it to the other.
LIVE = (
    f" --live {shlex.quote(next(iter(GRIDS)))} --results {shlex.quote(place(RESULTS))}"
)
TRAIN = (
    "agc train {params.cells:q} --device {resources.device} --threads {resources.process_threads}"
    f"{LIVE.replace('{', '{{').replace('}', '}}') if config['live'] else ''}"
    " > {log:q} 2>&1"
    " && touch {output:q}"
)
EVALUATE = handed_over(
    "agc evaluate {params.cells:q} --device {resources.device} --threads {threads} > {log:q} 2>&1"
)
