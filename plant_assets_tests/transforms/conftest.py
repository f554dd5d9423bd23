"""The fixture that runs a module's tests on each engine."""

from plant_assets_tests.support.engines import each_engine as each_engine
