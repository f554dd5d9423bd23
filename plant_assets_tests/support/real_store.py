"""A real store, where there is one: found by PLANT_TEST_STORE, else beside the project."""

import datetime as dt
import os
from pathlib import Path

STORE = Path(os.environ.get("PLANT_TEST_STORE", Path(__file__).parents[3] / "shared" / "greenery"))
AS_OF = dt.datetime(2021, 3, 2)
