"""What loading the code location costs, against `import dagster` alone (aim: 1.3 × at most).

Every step, tick and command of Dagster pays it. User CPU seconds of fresh interpreters,
taken in turn; the ratio is taken pair by pair.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path


def main() -> None:
    """Measure, print a table, write JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    _user_seconds("import dagster, refinebio_assets.definitions")  # compile, warm the disk cache
    pairs = [
        (_user_seconds("import dagster"), _user_seconds("import refinebio_assets.definitions"))
        for _ in range(options.rounds)
    ]
    result = {
        "import_dagster_seconds": statistics.median(alone for alone, _ in pairs),
        "load_definitions_seconds": statistics.median(ours for _, ours in pairs),
        "ratio": statistics.median(ours / alone for alone, ours in pairs),
    }
    for name, value in result.items():
        print(f"{name:30} {value:.3f}")
    if options.json:
        options.json.write_text(json.dumps(result, indent=1))


def _user_seconds(statement: str) -> float:
    before = os.times().children_user
    subprocess.run([sys.executable, "-c", statement], check=True)
    return os.times().children_user - before


if __name__ == "__main__":
    main()
