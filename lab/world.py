"""The lab itself: the object that every part is handed and that they share."""

from __future__ import annotations

import contextlib
import logging
import shutil
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from lab.clock import Clock
from lab.network import Network

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.resolver import Answer

OutageMode = Literal["refuse", "hang", "reset"]
OUTAGE_MODES: Final[tuple[OutageMode, ...]] = ("refuse", "hang", "reset")

ACCOUNT: Final = "000000000000"
PRIMARY: Final = "eu-west-1"
DR: Final = "eu-central-1"
REGIONS: Final = (PRIMARY, DR)

_logger = logging.getLogger("lab")


class Lab:
    """One lab: its clock, its home directory, its regions and whether they are up.

    A region can be lost in two ways. Its *APIs* can stop answering while everything behind them goes on, and the *whole
    region* can be lost: then nothing in it acts any more. ``is_down`` and the callbacks speak of the whole region;
    ``api_mode`` says how a region's APIs behave, for either reason.

    Parameters
    ----------
    port
        The port of the AWS endpoint on the loopback address.
    scale
        AWS seconds that pass in one real second.
    """

    def __init__(self, port: int, scale: float) -> None:
        self.port = port
        self.endpoint = f"http://127.0.0.1:{port}"  # an address, not a name: S3 clients then use path-style URLs
        self.account = ACCOUNT
        self.regions = REGIONS
        self.clock = Clock(scale)
        self.home = Path(tempfile.mkdtemp(prefix="pilotlight-lab-"))
        self.network = Network(self.home)
        self.controls: dict[str, dict[str, Callable[..., Any]]] = {}
        """Group to name to function: what the game day and tests may do to the lab past the AWS API."""
        self.resolve: Callable[[str], Answer | None] = lambda _name: None
        """What a name of a hosted zone resolves to now: Route 53's answer, once it is installed."""
        self._lock = threading.RLock()
        self._down: dict[str, OutageMode] = {}
        self._apis: dict[str, OutageMode] = {}
        self._outage: list[Callable[[str], None]] = []
        self._return: list[Callable[[str], None]] = []
        self._close: list[Callable[[], None]] = []
        self._closed = threading.Event()
        self._reports: dict[str, Callable[[], Any]] = {}
        self.ready = False
        """True once the lab is set up and the clock runs at the scale that was asked for."""

    # What the parts ask

    def is_down(self, region: str) -> bool:
        """Say whether the whole region is lost.

        Parameters
        ----------
        region
            A region's name.

        Returns
        -------
        bool
            True from the outage to the return.
        """
        return region in self._down

    def api_mode(self, region: str) -> OutageMode | None:
        """Say how the region's APIs misbehave.

        Parameters
        ----------
        region
            A region's name.

        Returns
        -------
        OutageMode | None
            None while they answer.
        """
        return self._down.get(region) or self._apis.get(region)

    @property
    def closing(self) -> bool:
        """True once the lab is being taken down."""
        return self._closed.is_set()

    def status(self) -> dict[str, Any]:
        """Return what the lab is doing, for its control API.

        Returns
        -------
        dict[str, Any]
            The endpoint, the clock, each region, and what each part reports.
        """
        return {
            **{name: report() for name, report in self._reports.items()},
            "endpoint": self.endpoint,
            "home": str(self.home),
            "account": self.account,
            "ready": self.ready,
            "clock": {"scale": self.clock.scale, "aws_now": round(self.clock.aws_now(), 3)},
            "regions": {region: {"lost": self._down.get(region), "apis": self.api_mode(region)} for region in REGIONS},
        }

    # What the parts register

    def report(self, name: str, status: Callable[[], Any]) -> None:
        """Add what a part has to say to the lab's status.

        Parameters
        ----------
        name
            Its key there.
        status
            Called for each status; returns what JSON can carry.
        """
        self._reports[name] = status

    def on_outage(self, callback: Callable[[str], None]) -> None:
        """Call ``callback(region)`` when a region is lost, after ``is_down`` says so.

        Parameters
        ----------
        callback
            Must not wait for anything in that region.
        """
        self._outage.append(callback)

    def on_return(self, callback: Callable[[str], None]) -> None:
        """Call ``callback(region)`` when a lost region is back.

        Parameters
        ----------
        callback
            Called after ``is_down`` says False.
        """
        self._return.append(callback)

    def on_close(self, callback: Callable[[], None]) -> None:
        """Call ``callback()`` when the lab ends; last registered, first called.

        Parameters
        ----------
        callback
            Stops what the part started. The home directory still exists.
        """
        self._close.append(callback)

    def spawn(self, function: Callable[[], None], name: str = "lab-task") -> threading.Thread:
        """Run ``function`` on a thread of its own; what it raises is logged, never lost.

        Parameters
        ----------
        function
            Ends soon after ``closing`` is True (``clock.sleep_aws`` then returns False).
        name
            Shown in the log.

        Returns
        -------
        threading.Thread
            Started; a daemon.
        """

        def run() -> None:
            try:
                function()
            except Exception:
                _logger.exception("%s failed", name)

        thread = threading.Thread(target=run, name=name, daemon=True)
        thread.start()
        return thread

    def after(self, aws_seconds: float, function: Callable[[], None], name: str = "lab-later") -> None:
        """Run ``function`` on a thread of its own after ``aws_seconds``, unless the lab ends before.

        Parameters
        ----------
        aws_seconds
            A duration on AWS; see ``lab.durations``.
        function
            What AWS would have done by then.
        name
            Shown in the log.
        """

        def wait_and_run() -> None:
            if self.clock.sleep_aws(aws_seconds):
                function()

        self.spawn(wait_and_run, name)

    def every(self, aws_seconds: Callable[[], float], function: Callable[[], None], name: str) -> None:
        """Run ``function`` again and again on a thread of its own, until the lab ends; once failed, it goes on.

        Parameters
        ----------
        aws_seconds
            Returns how long to wait before the next time.
        function
            What AWS does all the time.
        name
            Shown in the log.
        """

        def run() -> None:
            while self.clock.sleep_aws(aws_seconds()):
                try:
                    function()
                except Exception:
                    _logger.exception("%s failed this time", name)

        self.spawn(run, name)

    def log(self, message: str) -> None:
        """Write one line to the lab's log.

        Parameters
        ----------
        message
            Plain English.
        """
        _logger.info(message)

    # What the control API does

    def lose(self, region: str, mode: OutageMode = "refuse") -> None:
        """Lose a whole region: its APIs, its databases, its instances and everything that acts in it.

        Parameters
        ----------
        region
            A region's name.
        mode
            What a caller of its APIs sees.
        """
        with self._lock:
            first = region not in self._down
            self._down[region] = mode
            if first:
                self.log(f"{region} is lost ({mode})")
                self._call_all(self._outage, region)

    def bring_back(self, region: str) -> None:
        """Bring a lost region back, as it was when it was lost.

        Parameters
        ----------
        region
            A region's name.
        """
        with self._lock:
            if self._down.pop(region, None):
                self.log(f"{region} is back")
                self._call_all(self._return, region)

    def set_apis(self, region: str, mode: OutageMode | None) -> None:
        """Let only the APIs of a region misbehave; what runs in the region goes on.

        Parameters
        ----------
        region
            A region's name.
        mode
            None lets them answer again.
        """
        with self._lock:
            if mode is None:
                self._apis.pop(region, None)
            else:
                self._apis[region] = mode
        self.log(f"the APIs of {region} {'answer' if mode is None else mode}")

    def close(self) -> None:
        """End the lab: every part stops what it started, then the home directory goes."""
        if self._closed.is_set():
            return
        self._closed.set()
        self._down.clear()
        self._apis.clear()
        self.clock.close()
        for callback in reversed(self._close):
            # One part that cannot stop must not keep the others running.
            try:
                callback()
            except Exception:
                _logger.exception("a part of the lab could not be stopped")
        # A process that was just ended may have written a last file while its directory was being emptied.
        for _ in range(20):
            with contextlib.suppress(OSError):
                shutil.rmtree(self.home)
            if not self.home.exists():
                break
            time.sleep(0.1)

    @staticmethod
    def _call_all(callbacks: list[Callable[[str], None]], region: str) -> None:
        # Side by side: a region is lost everywhere at once, and one slow part must not delay the others.
        def call(callback: Callable[[str], None]) -> None:
            try:
                callback(region)
            except Exception:
                _logger.exception("a part of the lab could not follow the outage or return of %s", region)

        threads = [threading.Thread(target=call, args=(callback,), daemon=True) for callback in callbacks]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=60)
