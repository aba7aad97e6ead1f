"""The names of the library, each with its home: the one list, read by people and by Python."""

from typing import Any

from agc.communication.all_reduce import AllReduce as AllReduce
from agc.communication.ef import EF as EF
from agc.communication.saef import SAEF as SAEF
from agc.corrections.agc import AGC as AGC
from agc.corrections.agc_recorded import RecordedAGC as RecordedAGC
from agc.corrections.agc_running import RunningAGC as RunningAGC
from agc.corrections.alpha_svrg import AlphaSVRG as AlphaSVRG
from agc.corrections.centralize import Centralize as Centralize
from agc.corrections.constant import Constant as Constant
from agc.corrections.extragradient import Extragradient as Extragradient
from agc.corrections.l_svrg import LooplessSVRG as LooplessSVRG
from agc.corrections.mars import MARS as MARS
from agc.corrections.none import NoCorrection as NoCorrection
from agc.corrections.s2_sam import S2SAM as S2SAM
from agc.corrections.sam import SAM as SAM
from agc.corrections.sarah import SARAH as SARAH
from agc.corrections.scsg import SCSG as SCSG
from agc.corrections.sparse_skew import SparseSkew as SparseSkew
from agc.corrections.storm import STORM as STORM
from agc.corrections.svrg import SVRG as SVRG
from agc.gradients.beside import beside_the_step as beside_the_step
from agc.gradients.micro_batches import GroupedBatches as GroupedBatches
from agc.gradients.micro_batches import MicroBatches as MicroBatches
from agc.methods.dense import Dense as Dense
from agc.methods.rigl import RigL as RigL
from agc.methods.set import SET as SET
from agc.methods.static import Static as Static
from agc.optimizers.adamomentum import AdaMomentum as AdaMomentum
from agc.optimizers.cgq import CGQ as CGQ
from agc.optimizers.lookahead import Lookahead as Lookahead
from agc.training.step import Step as Step

__version__: str
__all__: list[str]

# The class of any other entry has its name here too.
def __getattr__(name: str) -> Any: ...
