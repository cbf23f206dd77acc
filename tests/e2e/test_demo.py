"""`voxtune demo`, whole: the new domain is learned, and everything it promises to write is there."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path


def test_the_demo_learns_the_new_domain(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "voxtune", "demo", "-o", "demo"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / "demo" / "summary.json").read_text())
    assert summary["wer_before"] >= 0.4
    assert summary["wer_after"] <= 0.1
    assert all(rates["after"] <= 0.1 for rates in summary["by_set"].values())
    assert summary["seconds"] > summary["training_seconds"] > 0

    page = (tmp_path / "demo" / "report.html").read_text()
    assert len(re.findall(r'<audio [^>]*src="data:audio/ogg;base64,[A-Za-z0-9+/=]{1000,}"', page)) == 100
    assert page.count("<svg") == 2
    assert {"model.pt", "config.yaml", "configuration.json", "export.json"} <= {
        path.name for path in (tmp_path / "demo" / "export").iterdir()
    }


def test_another_demo_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("mine")
    done = subprocess.run(
        [sys.executable, "-m", "voxtune", "demo", "-o", str(tmp_path)], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "holds an earlier demo" in done.stderr
