"""The lab's command line: ``python -m lab serve | demo | lose REGION | return REGION``."""

from __future__ import annotations

import sys

from lab.command import main

if __name__ == "__main__":
    sys.exit(main())
