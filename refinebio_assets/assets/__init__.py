"""The assets, one module per group, in the order data flows.

`backfill_policy`, on which batches are built, is marked beta by Dagster; its warning (and
no other) is silenced here, before the modules that use it are loaded.
"""

import warnings

import dagster as dg

warnings.filterwarnings("ignore", message=".*`backfill_policy`", category=dg.BetaWarning)
