# Says where the cells stand while they are done: Snakemake itself has nothing to say for minutes.
import sys

from agc.status.survey import Survey
from agc.status.watch import QUIET, TERMINAL, Teller
from snakemake.logging import logger
from snakemake.settings.enums import Quietness

# Through Snakemake's logger, so that lines do not mix, and --quiet progress (or all) ends them.
TELLER = Teller(
    Survey(list(GRIDS.values()), Path(place(RESULTS))),
    lambda line: logger.info(line, extra={"quietness": Quietness.PROGRESS}),
    TERMINAL if sys.stderr.isatty() else QUIET,
)
