# The whole way of the data: grid -> cells -> training -> attacks -> records -> tables, MLflow.
#
#   snakemake --cores 2                           the default grid
#   snakemake --cores 2 --config grid=NAME,OTHER  other grids of workflows/grids
#   snakemake --cores 2 --workflow-profile workflows/profiles/local   with sensible flags
#   snakemake --cores 1 --report workflow.html    the workflow itself as one page, afterwards
import sys
from pathlib import Path

from agc.files import parse_yaml
from agc.places import home
from snakemake.exceptions import WorkflowError
from snakemake.utils import min_version, validate
from yaml import YAMLError

min_version("9.20")


configfile: "workflows/config.yaml"


# Snakemake takes the last of a key given twice; nobody would see that the first does not count.
for path in ["workflows/config.yaml", *workflow.overwrite_configfiles]:
    try:
        parse_yaml(Path(path).read_text(encoding="utf-8"))
    except YAMLError as error:
        sys.exit(f"agc: error: {path}: {' '.join(str(error).split())}")

# Snakemake reads True from its command line; a user writes what a YAML file has.
WORDS = {"true": True, "false": False}
config.update({k: WORDS[v] for k, v in config.items() if v in ("true", "false")})

try:
    # Of the package: pods have no more than Snakemake's own sources of the workflow.
    validate(config, str(home() / "workflows/schemas/config.schema.yaml"))
except WorkflowError as error:
    # What Snakemake would print is the whole schema; the one line that matters is below it.
    invalid = error.__context__
    sys.exit(
        f"agc: error: workflows/config.yaml, --config: {invalid.json_path}: {invalid.message}"
    )


report: "workflows/report/workflow.rst"


container: "docker://agc:0.1.0"


include: "workflows/rules/common.smk"
include: "workflows/rules/results.smk"
include: "workflows/rules/status.smk"


# A partial run makes tables of the records that are there; nothing can make it train a cell.
if not config["partial"]:

    include: "workflows/rules/plan.smk"
    include: "workflows/rules/prepare.smk"
    include: "workflows/rules/train.smk"
    include: "workflows/rules/evaluate.smk"
    include: "workflows/rules/predict.smk"


# Cells, beside Snakemake's jobs; of the main process alone, as jobs run without these hooks.
onstart:
    TELLER.start()


onsuccess:
    TELLER.stop()


onerror:
    TELLER.stop()


localrules:
    all,
    plan,
    prepare,
    collect,
    compare,
    track,
    page,


# Every cell is an input of its own: below an up-to-date table, a deleted one would go unnoticed.
rule all:
    default_target: True
    input:
        records(CELLS),
        expand(f"{REPORTS}/{{grid}}/comparison.csv", grid=GRIDS),
        expand(f"{RESULTS}/{{grid}}/tracking.json", grid=GRIDS)
        if config["track"]
        else [],
        expand(f"{REPORTS}/{{grid}}/report.html", grid=PAGES),
