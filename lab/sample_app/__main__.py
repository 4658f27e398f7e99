"""Start the sample application: ``python -m lab.sample_app``, configured by its environment alone."""

from __future__ import annotations

import os

from lab.sample_app.server import serve
from lab.sample_app.settings import Settings

if __name__ == "__main__":
    serve(Settings.from_env(os.environ))
