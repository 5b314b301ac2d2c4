"""Writes the locked requirements of the image from pyproject.toml: `python -m tests.house.requirements`."""

from __future__ import annotations

import subprocess
import tomllib

from tests.house.files import ROOT

DEPLOY = ROOT / "deploy"
PLAIN = ("--quiet", "--no-emit-index-url", "--no-annotate", "--no-header")


def main() -> None:
    """Resolve with uv, for Python 3.11 and newer, with the hash of every file and without names of hosts."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    lock = ["uv", "export", *PLAIN, "--no-default-groups", "--no-emit-project", "--format", "requirements-txt"]
    subprocess.run([*lock, "-o", str(DEPLOY / "requirements.txt")], check=True, cwd=ROOT)
    build = ["uv", "pip", "compile", *PLAIN, "--generate-hashes", "--python-version", "3.11", "-"]
    subprocess.run(
        [*build, "-o", str(DEPLOY / "build-requirements.txt")],
        check=True,
        cwd=ROOT,
        text=True,
        input="\n".join(project["build-system"]["requires"]),
        stdout=subprocess.DEVNULL,
    )


if __name__ == "__main__":
    main()
