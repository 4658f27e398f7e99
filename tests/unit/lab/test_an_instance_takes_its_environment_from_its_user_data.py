from __future__ import annotations

import base64

import pytest

from lab.machines import environment_of

SCRIPT = """\
#!/bin/bash
set -eu
OTHER=outside
cat > /etc/pilotlight/environment <<'ENVIRONMENT'
# for the unit `app`
ENVIRONMENT=dev
APP_PORT=8080
  DATABASE_NAME="app"
BUCKET=dev-app=x
ENVIRONMENT
LATER=outside
"""

EXPECTED = {"ENVIRONMENT": "dev", "APP_PORT": "8080", "DATABASE_NAME": "app", "BUCKET": "dev-app=x"}


@pytest.mark.parametrize("encode", [str, lambda text: base64.b64encode(text.encode()).decode()])
def test_the_lines_of_the_environment_file_are_read(encode: type[str]) -> None:
    assert environment_of(encode(SCRIPT)) == EXPECTED


def test_an_indented_here_document_is_read() -> None:
    script = "\tcat <<-EOF > /etc/pilotlight/environment\n\tA=1\n\tEOF\nB=2\n"
    assert environment_of(script) == {"A": "1"}


@pytest.mark.parametrize(
    "script",
    [
        "",
        "#!/bin/bash\necho hello",
        "cat > /etc/other <<EOF\nA=1\nEOF",
        "cat > /etc/pilotlight/environment <<EOF\nA=1\n",
    ],
)
def test_user_data_without_a_complete_environment_file_gives_none(script: str) -> None:
    assert environment_of(script) == {}
