"""Draw what the demo prints: `python docs/picture.py` runs it (some minutes) and writes docs/demo.svg."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from voxtune.demo import tell
from voxtune.files import atomic_write

PICTURE = Path(__file__).with_name("demo.svg")
FAMILY = "fun_asr_nano"


def main() -> None:
    """Record one run of the demo."""
    # Not as a terminal: there every refresh of the progress bar would be recorded, here only its end is.
    console = Console(record=True, width=100, force_terminal=False)
    with TemporaryDirectory() as folder:
        tell(FAMILY, Path(folder) / "demo", console)
    with atomic_write(PICTURE) as temporary:
        console.save_svg(str(temporary), title="voxtune demo", unique_id="voxtune-demo")


if __name__ == "__main__":
    main()
