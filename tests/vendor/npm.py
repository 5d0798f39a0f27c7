"""Packages of the npm registry for tests that compare us with others: installed into a temporary folder, never shipped.

PATCHWATCH_VENDOR_DIR names a folder that is kept. Without npm, or where the registry cannot be reached, tests are
skipped; with PATCHWATCH_VENDOR_REQUIRED set, as in CI, they fail instead.
"""

import os
import pathlib
import shutil
import subprocess

import pytest

HERE = pathlib.Path(__file__).resolve().parent


def unavailable(why):
    if os.environ.get("PATCHWATCH_VENDOR_REQUIRED"):
        pytest.fail(why)
    pytest.skip(why)


def install(package_json, wanted, tmp_path_factory):
    """The folder into which what package_json (a file beside this one) names was installed; wanted: one of them."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        unavailable("npm is not installed")
    kept = os.environ.get("PATCHWATCH_VENDOR_DIR")
    folder = pathlib.Path(kept) / pathlib.Path(package_json).stem if kept else tmp_path_factory.mktemp("vendor")
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(HERE / package_json, folder / "package.json")
    if not (folder / "node_modules" / wanted).is_dir():
        done = subprocess.run(["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=folder,
                              capture_output=True, text=True, check=False, timeout=240)
        if done.returncode != 0:
            unavailable(f"npm cannot install {wanted}: " + done.stderr[-300:])
    return folder


def node(folder, script, text):
    """What a script beside this file prints, run in that folder with text on its standard input."""
    done = subprocess.run(["node", HERE / script], cwd=folder, input=text, capture_output=True, text=True, check=False,
                          timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout
