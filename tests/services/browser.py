"""A page as a headless Chromium draws it, driven through the browser's debugging pipe."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.support.waiting import HANG

VISIBLE = "document.body ? document.body.innerText : ''"


class Browser:
    """One tab. Its own clock runs as ours does: charts are never drawn under a virtual one."""

    def __init__(self, program: str, profile: Path) -> None:
        self.command = [
            program,
            "--headless=new",
            # Chromium's sandbox refuses root; the page is our own and from loopback.
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            # Loopback alone: neither the page nor the browser may ask anybody else.
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
            f"--user-data-dir={profile}",
            "--window-size=1500,1300",
            "--remote-debugging-pipe",
            "about:blank",
        ]
        self.number = 0
        self.session: str | None = None

    def __enter__(self) -> Browser:
        commands, self.to_browser = os.pipe()
        self.from_browser, answers = os.pipe()
        # The browser reads commands from descriptor 3 and answers on 4.
        shell = f'exec "$@" 3<&{commands} 4>&{answers}'
        self.process = subprocess.Popen(
            ["bash", "-c", shell, "bash", *self.command],
            pass_fds=(commands, answers),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(commands)
        os.close(answers)
        self.answers = os.fdopen(self.from_browser, "rb", buffering=0)
        self.rest = b""
        targets = self._call("Target.getTargets")["targetInfos"]
        (tab,) = [target["targetId"] for target in targets if target["type"] == "page"]
        self.session = self._call("Target.attachToTarget", targetId=tab, flatten=True)["sessionId"]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.to_browser)
        self.answers.close()

    def show(self, address: str) -> None:
        """Open a page anew, even where only what follows the ``#`` differs."""
        self._call("Page.navigate", url="about:blank")
        self._call("Page.navigate", url=address)

    def value(self, script: str) -> Any:
        """What an expression of JavaScript is in the page."""
        answer = self._call("Runtime.evaluate", expression=script, returnByValue=True)
        return answer["result"].get("value")

    def type_into(self, field: str, text: str) -> None:
        """Type into the field that an expression of JavaScript names."""
        self.value(f"{field}.focus()")
        self._call("Input.insertText", text=text)

    def press(self, key: str, text: str = "") -> None:
        """Press and release a key, named as JavaScript names it; some write a ``text``."""
        self._call("Input.dispatchKeyEvent", type="keyDown", key=key, text=text)
        self._call("Input.dispatchKeyEvent", type="keyUp", key=key)

    def point_at(self, element: str, across: float) -> None:
        """Move the pointer over an element, so far from its left edge as a share of its width."""
        box = self.value(
            f"(() => {{ const e = {element}; e.scrollIntoView({{block: 'center'}});"
            " const b = e.getBoundingClientRect(); return [b.x, b.y, b.width, b.height]; })()"
        )
        x, y = box[0] + across * box[2], box[1] + box[3] / 2
        self._call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def resize(self, width: int, height: int) -> None:
        """Give the window another size, in CSS pixels, as that of a phone."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self._call("Emulation.setDeviceMetricsOverride", **size)

    @contextmanager
    def on_paper(self, width: int) -> Iterator[None]:
        """Lay the page out for a sheet of this width in CSS pixels while the block runs."""
        self.resize(width, width)
        self._call("Emulation.setEmulatedMedia", media="print")
        yield
        self._call("Emulation.setEmulatedMedia", media="")

    def unnamed(self, roles: set[str]) -> list[str]:
        """What a screen reader finds without a name among elements of these roles."""
        nodes = self._call("Accessibility.getFullAXTree")["nodes"]
        found = [node for node in nodes if not node.get("ignored")]
        return [
            node["role"]["value"]
            for node in found
            if node["role"]["value"] in roles and not node.get("name", {}).get("value", "").strip()
        ]

    def printed(self) -> bytes:
        """The page as a PDF."""
        answer = self._call("Page.printToPDF", printBackground=True)
        return base64.b64decode(answer["data"])

    def text_with(self, *wanted: str) -> str:
        """The text that the page shows, once it holds all that is wanted or the time is over."""
        return self.until(VISIBLE, lambda text: all(word in text for word in wanted))

    def until(self, script: str, good: Callable[[Any], bool]) -> Any:
        """The value of a script once it is good, or its last one when the time is over."""
        end = time.monotonic() + HANG
        while True:
            found = self.value(script)
            if good(found) or time.monotonic() > end:
                return found
            time.sleep(0.5)

    def screenshot(self, path: Path) -> None:
        """Write what the window shows as a PNG."""
        path.write_bytes(base64.b64decode(self._call("Page.captureScreenshot")["data"]))

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session is not None:
            message["sessionId"] = self.session
        os.write(self.to_browser, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._message()
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return answer["result"]

    def _message(self) -> dict[str, Any]:
        """The next message; they are JSON, each ended by a zero byte."""
        while b"\0" not in self.rest:
            part = self.answers.read(1 << 20)
            if not part:
                raise RuntimeError("the browser ended")
            self.rest += part
        line, _, self.rest = self.rest.partition(b"\0")
        return json.loads(line)
