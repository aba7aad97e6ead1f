"""CUDA graphs: what is computed again and again is recorded once, and launched as a whole.

On small networks the host cannot launch kernels as fast as a GPU runs them; a graph is one launch.
It writes and reads the same addresses each time and runs no Python. So what is recorded must be a
pure function of tensors: nothing is drawn within, nothing decided by a value, and all that it
reads beside its inputs stays where it is. Results have the bits of the function called as usual.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from agc.gradients.lists import clones, copy_to
from agc.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

Result = TypeVar("Result")

USUAL = 2
"""Calls that are made as usual before one is recorded: libraries set themselves up in the first
ones, which cannot be recorded."""

MOST = 4
"""Recordings of inputs of one shape, each after something has moved; then it stays as usual."""


class Counts(Protocol):
    """What counts passes of the network, which a launch of a graph does not make."""

    paused: bool

    def counts(self) -> dict[str, int]:
        """All numbers so far."""

    def add(self, counts: Mapping[str, int]) -> None:
        """Add to them."""


class Recorder(Protocol):
    """What the device offers; the tests have a stand-in for the CPU."""

    def mark(self) -> Any:
        """A moment in the present order of work."""

    def usual(self, work: Callable[[], Result]) -> Result:
        """Do the work now, as a recording will want it done."""

    def record(self, work: Callable[[], Result]) -> tuple[Callable[[], None], Result]:
        """What does the work from now on, and where its results will be; it is not done now."""

    def beside(self, since: Any, work: Callable[[], None]) -> None:
        """Do the work after the moment ``since`` and before what comes next; what was asked for
        in between may run at the same time.
        """


class CudaRecorder:
    """Records in a stream of its own: scratch memory of cuBLAS belongs to a stream, and two graphs
    that run at the same time must not share it.
    """

    def __init__(self) -> None:
        self.stream = torch.cuda.Stream()

    def mark(self) -> Any:
        """An event in the present stream."""
        event = torch.cuda.Event()
        event.record()
        return event

    def usual(self, work: Callable[[], Result]) -> Result:
        """Do the work in the stream, so that autograd's nodes belong to it."""
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            result = work()
        torch.cuda.current_stream().wait_stream(self.stream)
        return result

    def record(self, work: Callable[[], Result]) -> tuple[Callable[[], None], Result]:
        """A graph of the work. Other threads, such as those of data loaders, go on meanwhile."""
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=self.stream, capture_error_mode="thread_local"):
            result = work()
        return graph.replay, result

    def beside(self, since: Any, work: Callable[[], None]) -> None:
        """Do the work in the stream."""
        self.stream.wait_event(since)
        with torch.cuda.stream(self.stream):
            work()
        torch.cuda.current_stream().wait_stream(self.stream)


@dataclass
class Recording(Generic[Result]):
    """One graph.

    Attributes:
        inputs: where it reads them.
        replay: launches it.
        result: where it leaves its results.
        counts: what the passes within it count.
    """

    inputs: list[Tensor]
    replay: Callable[[], None]
    result: Result
    counts: dict[str, int]


@dataclass
class Shape(Generic[Result]):
    """Calls with inputs of one shape."""

    addresses: tuple[int, ...] = ()
    calls: int = 0
    moves: int = 0
    recording: Recording[Result] | None = None


@dataclass
class Graphed(Generic[Result]):
    """A pure function of tensors that is recorded once for each shape of its inputs.

    Attributes:
        name: for the one line that says why it is not recorded.
        reads: what it reads beside its inputs; where that moves, it is recorded anew.
        meter: counts the network's passes.
        recorder: the device's.
        failed: whether it cannot be recorded, and is called as usual.
    """

    name: str
    reads: Callable[[], Iterable[Tensor]]
    meter: Counts
    recorder: Recorder
    failed: bool = False
    shapes: dict[Hashable, Shape[Result]] = field(default_factory=dict)

    def __call__(
        self,
        function: Callable[[Sequence[Tensor]], Result],
        inputs: Sequence[Tensor],
        flags: Hashable = (),
        since: Any = None,
        undo: Callable[[], None] = lambda: None,
    ) -> Result:
        """The function's result. It is the graph's own, and the next call writes over it.

        Args:
            function: always the same one for the same flags.
            inputs: its tensors.
            flags: all else that it depends on.
            since: a mark behind which all that it reads has been asked for: it may run beside what
                was asked for later.
            undo: makes up for a recording that broke off.
        """
        if self.failed or self.meter.paused:
            return function(inputs)
        kinds = tuple((x.shape, x.stride(), x.dtype, x.device) for x in inputs)
        shape = self.shapes.setdefault((kinds, flags), Shape())
        addresses = tuple(tensor.data_ptr() for tensor in self.reads())
        if shape.addresses != addresses:
            shape.moves += shape.recording is not None
            shape.addresses, shape.calls, shape.recording = addresses, 0, None
        if shape.recording is None:
            shape.calls += 1
            if shape.calls <= USUAL:
                return self.recorder.usual(lambda: function(inputs))
            if shape.moves == MOST:
                return self.give_up("what it reads keeps moving", function, inputs)
            try:
                shape.recording = self._recorded(function, inputs)
            except RuntimeError as error:
                undo()
                reason = (str(error).splitlines() or ["RuntimeError"])[0]
                return self.give_up(reason, function, inputs)
        return self._replayed(shape.recording, inputs, since)

    def give_up(
        self, reason: str, function: Callable[[Sequence[Tensor]], Result], inputs: Sequence[Tensor]
    ) -> Result:
        """Say so, and call the function as usual from now on."""
        self.failed = True
        self.shapes.clear()
        say(f"{self.name} is not recorded as a CUDA graph: {reason}")
        return function(inputs)

    def _recorded(
        self, function: Callable[[Sequence[Tensor]], Result], inputs: Sequence[Tensor]
    ) -> Recording[Result]:
        mine = clones(inputs)
        before = self.meter.counts()
        try:
            replay, result = self.recorder.record(lambda: function(mine))
        finally:
            # Whatever was called has not been computed.
            counts = {name: n - before[name] for name, n in self.meter.counts().items()}
            self.meter.add({name: -number for name, number in counts.items()})
        return Recording(mine, replay, result, counts)

    def _replayed(
        self, recording: Recording[Result], inputs: Sequence[Tensor], since: Any
    ) -> Result:
        def work() -> None:
            copy_to(recording.inputs, inputs)
            recording.replay()

        if since is None:
            work()
        else:
            self.recorder.beside(since, work)
        self.meter.add(recording.counts)
        return recording.result


@cache
def say(text: str) -> None:
    """Tell the user once in a process."""
    print(f"agc: {text}", file=sys.stderr)
