"""What is left to chance in a circle, and how it is drawn: the same seed draws the same."""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

MODES: Final = ("hang", "refuse", "reset")
_LARGEST_SEED: Final = 2**31


@dataclass(frozen=True)
class Draw:
    """How one circle goes. Real seconds, but for ``away``, which is AWS time.

    ``pause`` is how long a client rests after an answer: the shorter, the more writes are in flight when the region is
    lost. ``behind`` is how far the replica is kept behind in applying, ``held`` for how long before the loss it
    receives nothing, so that what is acknowledged then never crosses. ``strays`` is how many clients go on writing to
    the returned primary.
    """

    mode: str = "hang"
    steady: float = 8.0
    writers: int = 4
    pause: float = 0.08
    behind: int = 2
    held: float = 0.3
    away: float = 240.0
    strays: int = 1

    def as_json(self) -> dict[str, Any]:
        """Return what was drawn, for the report.

        Returns
        -------
        dict[str, Any]
            By name.
        """
        return asdict(self)

    def sentence(self) -> str:
        """Say what was drawn.

        Returns
        -------
        str
            One line, for people.
        """
        said = [
            f"APIs {self.mode}",
            f"{self.writers} clients",
            f"lost after {self.steady:.1f} s",
            f"replica {self.behind} s behind" if self.behind else "replica not behind",
            f"receiving held {self.held:.1f} s" if self.held else "receiving not held",
            f"away {self.away / 60:.0f} min",
            f"{self.strays} stray" if self.strays else "no strays",
        ]
        return ", ".join(said)


def draw(seed: int) -> Draw:
    """Draw a circle.

    Parameters
    ----------
    seed
        The same seed draws the same circle.

    Returns
    -------
    Draw
        Within what a lab on a small machine can carry.
    """
    # Not for secrets: for repeating.
    chance = random.Random(seed)
    return Draw(
        mode=chance.choice(MODES),
        steady=round(chance.uniform(4.0, 9.0), 2),
        writers=chance.randint(2, 8),
        pause=round(chance.uniform(0.02, 0.15), 3),
        behind=chance.choice((0, 0, 1, 2, 3)),
        held=round(chance.uniform(0.05, 0.8), 2) if chance.random() < 0.7 else 0.0,
        away=float(chance.randint(60, 900)),
        strays=chance.choice((0, 1, 1, 2, 3)),
    )


def seeds(seed: int, circles: int) -> Iterator[int]:
    """Return the seed of each circle of a series; the first is the series' own, so that any can be repeated alone.

    Parameters
    ----------
    seed
        The series'.
    circles
        How many.

    Yields
    ------
    int
        One for each circle.
    """
    chance = random.Random(seed)
    for number in range(circles):
        yield seed if not number else chance.randrange(_LARGEST_SEED)


def any_seed() -> int:
    """Return a seed that nobody has chosen.

    Returns
    -------
    int
        Short enough to be typed again.
    """
    return random.SystemRandom().randrange(1_000_000)
