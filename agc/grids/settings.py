"""The part of a cell that says how its network is trained: hyper-parameters that all axes share."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from agc.attacks.shared.threat import Norm
from agc.datasets.shared.settings import Augmentation
from agc.gradients.autocast import Precision
from agc.grids.axes import AXES, resolved
from agc.grids.start import Start
from agc.registry import LATER, Strict

Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Count = Annotated[int, Field(ge=1)]


class Choice(Strict):
    """One entry of an axis, with its options."""

    name: str
    options: dict[str, Any] = Field(default={})


class Optimizer(Choice):
    """Entry of the axis of optimizers, and what a recipe says to all of them.

    Attributes:
        name: ours (``agc list optimizers``), or timm's.
        options: of this optimizer alone.
        weight_decay: acts on all parameters.
    """

    name: str = "sgd"
    options: Annotated[dict[str, Any], LATER] = Field(default={})
    lr: Positive = 0.1
    momentum: NonNegative = 0.9
    nesterov: bool = True
    weight_decay: NonNegative = 5e-4

    @property
    def shared(self) -> dict[str, Any]:
        """What a recipe says to all optimizers, by argument."""
        return self.model_dump(exclude=set(Choice.model_fields))

    @model_validator(mode="before")
    @classmethod
    def _resolve(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        return resolved(AXES["optimizer"], {"name": cls.model_fields["name"].default, **data})


class LearningRate(Strict):
    """Learning-rate schedule, stepped once an epoch after an optional linear warm-up.

    Attributes:
        name: ``step`` multiplies by ``factor`` at each milestone; ``cosine`` falls to 0.
        milestones: fractions of the training.
        factor: of the ``step`` schedule.
        warmup: epochs.
    """

    name: Literal["step", "cosine", "constant"] = "step"
    milestones: tuple[Fraction, ...] = (0.5, 0.75)
    factor: Fraction = 0.1
    warmup: Annotated[int, Field(ge=0)] = 0


class Training(Strict):
    """Hyper-parameters that all axes share.

    Attributes:
        validation: held out of the training images: a fraction below 1, or a number of images.
        split: which images those are: ``fixed``, the same for every cell, or ``seed``, drawn by the
            cell's seed. Either way plain and corrected runs of a seed have the same.
        images: train on so many of the others; null: on all. Fewer are among more, and the
            validation images do not depend on it.
        fixed_batches: the same images share a batch in every epoch.
        clip_norm: largest norm of the corrected gradient, or null.
        precision: of passes in training. ``bfloat16`` is autocast over float32 weights, and the
            network is evaluated in float32; ``tf32`` is for CUDA devices alone.
        devices: which share each batch between them, a process on each. The result is that of one
            device but for rounding, and for networks that draw noise.
        start: the weights that the training starts from; null: those that the seed draws.
        compiled: losses, gradients and attacks of the training go through ``torch.compile``, which
            makes them faster, with other last bits.
    """

    epochs: Count = 12
    batch_size: Count = 64
    validation: Positive = 0.1
    optimizer: Optimizer = Optimizer()
    schedule: LearningRate = LearningRate()
    augmentation: Augmentation = Augmentation()
    fixed_batches: bool = False
    clip_norm: Positive | None = None
    precision: Precision = "float32"
    channels_last: bool = False
    devices: Annotated[Count, LATER] = 1
    split: Annotated[Literal["fixed", "seed"], LATER] = "fixed"
    images: Annotated[Count | None, LATER] = None
    start: Annotated[Start | None, LATER] = None
    compiled: Annotated[bool, LATER] = False

    @model_validator(mode="after")
    def _equal_shares(self) -> Training:
        if self.batch_size % self.devices:
            raise ValueError(
                f"batch_size {self.batch_size} cannot be shared evenly by {self.devices} devices"
            )
        return self

    @model_validator(mode="after")
    def _fill_a_batch(self) -> Training:
        if self.images is not None and self.images < self.batch_size:
            raise ValueError(f"images {self.images} are fewer than batch_size {self.batch_size}")
        return self


class Evaluation(Strict):
    """PGD of the robust evaluation, for pixels in [0, 1], and when test images are measured.

    Attributes:
        norm: of the ball, and of ``epsilon`` and ``step_size``.
        validation_steps: steps of the attack on the validation images after each epoch of an
            adversarial objective, whose best epoch is then the one of the highest robust
            accuracy; 0: there is none, and the best epoch is the one of the highest accuracy.
        test: ``every-epoch`` measures loss and accuracy on the test images after each epoch,
            ``last`` after the last one, of its weights and of those of the best epoch. The
            training is the same; what needs the course of the test accuracy has no value then.
        restarts: random starts of the attack; an image counts as robust if it stands all of them.
        images: attack so many of the test images, the same ones in every cell; null: all.
        ties: which of several epochs with the best validation accuracy is the best one: the
            ``first``, or the one of the least validation ``loss``.
        jiio: iterations of JIIO, by which an equilibrium network is attacked beside PGD; an image
            counts as robust if it stands both.
    """

    epsilon: Annotated[float, Field(ge=0)] = 8 / 255
    step_size: Annotated[float, Field(ge=0)] = 2 / 255
    steps: Annotated[int, Field(ge=1)] = 20
    norm: Annotated[Norm, LATER] = "linf"
    validation_steps: Annotated[int, Field(ge=0), LATER] = 0
    test: Annotated[Literal["every-epoch", "last"], LATER] = "every-epoch"
    restarts: Annotated[Count, LATER] = 1
    images: Annotated[Count | None, LATER] = None
    ties: Annotated[Literal["first", "loss"], LATER] = "first"
    jiio: Annotated[Count, LATER] = 80
