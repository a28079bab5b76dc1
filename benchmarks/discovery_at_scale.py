"""What discovery and dispatch cost with 60,000 experiments, against 1,000.

There is no incumbent to compare with, so the ratio is between the two sizes: adding
partitions, one tick of a discovery sensor's decision, one cut of the dispatcher's batches.
Dagster's storage is SQLite in a temporary folder.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import dagster as dg

from refinebio_assets.discovery import Cursor, Filter, decide
from refinebio_assets.dispatch import Limits, Work, cut_batches

TODAY = date(2026, 11, 21)
FOUND = 5_000


def main() -> None:
    """Measure, print a table, write JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs=2, default=[1_000, 60_000])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    small, large = (measure(size) for size in options.sizes)
    result = {
        name: {"small": small[name], "large": large[name], "ratio": large[name] / small[name]}
        for name in small
    }
    print(f"{'':34}{options.sizes[0]:>10,}{options.sizes[1]:>10,}     ratio")
    for name, row in result.items():
        print(f"{name:34}{row['small']:>10.4f}{row['large']:>10.4f}{row['ratio']:>10.1f}")
    if options.json:
        options.json.write_text(json.dumps(result, indent=1))


def measure(size: int) -> dict[str, float]:
    """Seconds of each step with `size` registered experiments."""
    keys = [f"GSE{number}" for number in range(1, size + 1)]
    found = [f"GSE{number}" for number in range(size - FOUND // 2, size + FOUND // 2)]
    work = {key: Work(20, 1 << 30) for key in keys}
    chosen = Filter(per_day=10_000, per_tick=10_000)
    with dg.instance_for_test() as instance:
        return {
            "add_partitions_seconds": _seconds(lambda: _add(instance, keys)),
            "read_partitions_seconds": _seconds(
                lambda: instance.get_dynamic_partitions("experiments")
            ),
            "decide_tick_seconds": _seconds(
                lambda: decide(Cursor(), found, set(keys), chosen, TODAY)
            ),
            "cut_batches_seconds": _seconds(lambda: cut_batches(keys, work, Limits())),
        }


def _add(instance: dg.DagsterInstance, keys: list[str]) -> None:
    for start in range(0, len(keys), 5_000):
        instance.add_dynamic_partitions("experiments", keys[start : start + 5_000])


def _seconds(step: Callable[[], object]) -> float:
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
