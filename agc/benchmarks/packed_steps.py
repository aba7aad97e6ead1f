"""One of several processes that share a device: ``DEVICE NETWORK BATCH SIZE SECONDS HOW``.

``HOW`` is ``graphs`` or ``eager``. It says a line when it is ready, waits for one, trains, and says
its steps a second.
"""

from __future__ import annotations

import sys
import time

from agc.benchmarks.clock import WARM_UP, Clock
from agc.benchmarks.training_steps import case, started
from agc.machine.device import prepare_machine

TOGETHER = 5
"""Steps between two looks at the clock."""


def main() -> None:
    """Take part."""
    device, network, batch, size, seconds, how = sys.argv[1:]
    clock = Clock(prepare_machine(device).device, float(seconds))
    training = {"precision": "tf32" if clock.cuda else "float32"}
    cell = case("rigl agc", network, int(batch), int(size), **training)
    step = started(cell, device, how == "graphs").step
    for _ in range(WARM_UP):
        step()
    clock.wait()
    print("ready", flush=True)
    sys.stdin.readline()
    begin, count = time.monotonic(), 0
    while count == 0 or time.monotonic() - begin < float(seconds):
        for _ in range(TOGETHER):
            step()
        clock.wait()
        count += TOGETHER
    print(count / (time.monotonic() - begin))


if __name__ == "__main__":
    main()
