"""`plant-assets` as of an instant: `python -m bench.ours 2026-10-14T00:00:00 run --source DIR --warehouse FILE`.

The stores end at a fixed instant, and a tick does the running week and the one before: without this, weeks that have
ended long ago.
"""

import datetime as dt
import sys

from plant_assets import cli, runs

if __name__ == "__main__":
    as_of = dt.datetime.fromisoformat(sys.argv.pop(1))
    runs.now = lambda: as_of
    cli.main()
