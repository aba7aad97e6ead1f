"""From a cell to the objects that the loop works with."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from contextlib import nullcontext
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from agc import rng
from agc.architectures.base import build_classifier
from agc.cost.bits import BitLedger
from agc.cost.flops import layer_flops
from agc.cost.ledger import Ledger
from agc.cost.meter import Meter
from agc.datasets.base import SPLIT_SEED, Dataset, Split, hold_out
from agc.datasets.shared.checked import load
from agc.datasets.shared.loader import make_loader
from agc.errors import UserError
from agc.gradients.autocast import refuse_precision, use_products
from agc.grids.cell import Cell, make_cell
from agc.methods.base import SparseMethod
from agc.objectives.shared.adversarial import AdversarialObjective
from agc.optimizers.base import make_optimizer
from agc.processes.batch_norm import share_batch_norm
from agc.processes.share import Share
from agc.quantization.base import Quantization
from agc.registry import COMMUNICATION, CORRECTIONS, METHODS, OBJECTIVES, QUANTIZATIONS
from agc.sparsity.effective import refuse_vanishing
from agc.training.compiled import CompiledCalls
from agc.training.loss import draws_noise, loss_function
from agc.training.run import Run
from agc.training.schedule import make_schedule
from agc.training.start import begin_at
from agc.training.step import Step


def build(
    cell: Cell,
    device: str = "cpu",
    images: Split | None = None,
    start: Mapping[str, Tensor] | None = None,
) -> Run:
    """Make data, model, optimizer, method, objective and correction of a cell.

    Args:
        cell: what will be trained.
        device: where.
        images: training images instead of the cell's own.
        start: the weights that the cell starts from, if it names such.

    Raises:
        UserError: something of the cell cannot be built; nothing has been computed then.
    """
    training, share = cell.training, Share.here()
    refuse_precision(training.precision, device)
    dataset = load_dataset(cell)
    split_seed = cell.seed if training.split == "seed" else SPLIT_SEED
    train, validation = hold_out(dataset.train, training.validation, training.images, split_seed)
    objective = OBJECTIVES.create(
        cell.objective.name, options=cell.objective.options, precision=training.precision
    )
    if images is None:
        train = objective.training_split(train, partial(teach, cell, device, start))
    else:
        train = images
    loader = make_loader(
        train.to(device),
        training.batch_size,
        training.augmentation,
        cell.seed,
        training.fixed_batches,
        share,
    )
    loader = objective.loader(loader)
    model = _float_model(cell, dataset, device, _drawn_by(cell))
    if training.start is not None:
        if start is None:
            raise UserError(f"{cell.slug} starts from other weights, which nobody has given")
        begin_at(model, start, training.start.head == "new", cell.slug)
    quantization = _quantize(cell, model, training.epochs * len(loader))
    if share.count > 1 and COMMUNICATION[cell.communication.name].target.one_worker:
        model = share_batch_norm(model)
    chosen = training.optimizer
    optimizer = make_optimizer(
        chosen.name, model.parameters(), chosen.options, **chosen.shared, seed=cell.seed
    )
    calls = CompiledCalls(model) if training.compiled else None
    # Before anything copies the model: the copies' passes are counted too.
    meter = Meter(processes=share.count)
    meter.watch(model)
    wrapped = model if share.count == 1 else _distributed(model)
    # Two published corrections begin at weights that no mask has touched.
    dense = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    try:
        method = METHODS.create(
            cell.method.name,
            wrapped,
            optimizer,
            options=cell.method.options,
            sparsity=cell.sparsity,
            total_steps=training.epochs * len(loader),
            seed=cell.seed,
        )
    except ValueError as error:
        raise UserError(f"{cell.slug}: {error}") from error
    correction = CORRECTIONS.create(
        cell.correction.name,
        wrapped,
        options=cell.correction.options,
        seed=cell.seed,
        epochs=training.epochs,
        dense=dense,
    )
    communication = COMMUNICATION.create(
        cell.communication.name,
        wrapped,
        optimizer,
        options=cell.communication.options,
        seed=cell.seed,
    )
    schedule = make_schedule(training.schedule, optimizer, training.epochs, method.rounds)
    first = next(iter(loader.epoch(0))).images
    sample = first[:2]
    with meter.pause():
        if calls is not None:
            calls.try_out(model, first, training.precision)
        flops = layer_flops(model, sample[:1], method.parameters)
        noisy = draws_noise(model, sample)
        ledger = Ledger(flops, meter, method, loader.batch_size)
        if quantization.layers:
            weights = {n: layer.weight for n, layer in quantization.layers.items()}
            priced = layer_flops(model, sample[:1], {**method.parameters, **weights})
            parts = (flops, meter, method, loader.batch_size, priced, quantization)
            ledger = BitLedger(*parts)
            quantization.before_change = partial(ledger.settle_bits, method)
        if method.sparse and cell.sparsity:
            _check_zeros(cell, model, method, sample[:1])
    late = [name for name, _ in model.named_parameters() if name not in dense]
    if late:
        raise UserError(
            f"architecture {cell.architecture.name!r} adds {late[0]!r} in a pass in training mode, "
            "which is too late to be trained: it must be there after one in evaluation mode"
        )
    around = nullcontext if calls is None else calls.wanted
    loss_fn = loss_function(objective, training.precision, noisy, quantization, around)
    step = Step(
        wrapped,
        optimizer,
        loss_fn,
        method,
        correction,
        quantization,
        communication=communication,
        clip_norm=training.clip_norm,
    )
    if calls is not None:
        step.aside = calls.unwanted
        if isinstance(objective, AdversarialObjective):
            objective.ascend = calls.wanted()(objective.ascend)
    return Run(
        cell=cell,
        model=model,
        wrapped=wrapped,
        loader=loader,
        validation=validation.to(device),
        test=dataset.test.to(device),
        objective=objective,
        loss_fn=loss_fn,
        optimizer=optimizer,
        schedule=schedule,
        method=method,
        correction=correction,
        quantization=quantization,
        communication=communication,
        meter=meter,
        flops=flops,
        ledger=ledger,
        step=step,
        noisy=noisy,
    )


def teach(cell: Cell, device: str, start: Mapping[str, Tensor] | None, images: Split) -> nn.Module:
    """The cell's network, dense, trained in the standard way on ``images`` with its recipe."""
    from agc.training.loop import train

    plain = {"objective": "standard", "method": "dense", "sparsity": 0.0, "correction": "none"}
    plain |= {"quantization": "none", "communication": "none"}
    run = build(make_cell({**cell.model_dump(), **plain}), device, images, start)
    for _ in train(run):
        pass
    return run.model


def load_dataset(cell: Cell) -> Dataset:
    """The cell's data set, on the CPU.

    Raises:
        UserError: it is not on this machine, or not sound.
    """
    return load(cell.dataset.name, cell.dataset.options, cell.seed)


def build_model(cell: Cell, dataset: Dataset, device: str) -> nn.Module:
    """The cell's network with its initial weights, and the number formats that it begins with;
    this process computes in the cell's precision.
    """
    use_products(cell.training.precision)
    model = _float_model(cell, dataset, device, cell.seed)
    _quantize(cell, model)
    return model


def _drawn_by(cell: Cell) -> int:
    """The seed of the first weights, those that a start does not give."""
    start = cell.training.start
    if start is None or start.head == "keep":
        return cell.seed
    # A source of this seed had this seed's last layer at first, and its others have learnt to suit
    # that: to their weights it would not be new.
    return rng.derive(cell.seed, "start/head")


def _float_model(cell: Cell, dataset: Dataset, device: str, seed: int) -> nn.Module:
    model = build_classifier(cell.architecture.name, cell.architecture.options, dataset, seed).to(
        device
    )
    if cell.training.channels_last:
        model = model.to(memory_format=torch.channels_last)
    return model


def _quantize(cell: Cell, model: nn.Module, total_steps: int = 0) -> Quantization:
    """Convert the layers of a network in place; without steps it cannot be trained."""
    chosen = cell.quantization
    return QUANTIZATIONS.create(
        chosen.name, model, options=chosen.options, seed=cell.seed, total_steps=total_steps
    )


def _check_zeros(cell: Cell, model: nn.Module, method: SparseMethod, image: Tensor) -> None:
    """Make sure that the sparsity of masks is that of what the network multiplies with."""
    try:
        refuse_vanishing(model, method.parameters, image, lambda: model(image))
    except ValueError as error:
        raise UserError(f"{cell.slug}: {error}") from error


def _distributed(model: nn.Module) -> nn.Module:
    """The model in DistributedDataParallel, which leaves buffers alone.

    Running statistics are the same everywhere: they follow the batch of all processes.
    """
    known = inspect.signature(DistributedDataParallel).parameters
    flag = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"
    return DistributedDataParallel(model, **{flag: False})
