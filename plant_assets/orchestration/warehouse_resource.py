"""The warehouse as a Dagster resource: one for all steps of a run. Its config shows the settings in the UI.

Dagster stores a resource's config with each job, so secrets are masked there. The settings that open the warehouse
come in a nested resource, which is not stored.
"""

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import dagster as dg
from pydantic import Field, create_model

from plant_assets.instance.liveness import hold_run
from plant_assets.settings import PREFIX, Settings, UsageError, is_secret
from plant_assets.warehouse.open import open_warehouse
from plant_assets.warehouse.warehouse import Warehouse


@dataclass(frozen=True)
class Store:
    """The settings that open the warehouse, and the warehouse itself if this process already holds it."""

    settings: Settings
    opened: Warehouse | None = None


class _Warehouse(dg.ConfigurableResource[Warehouse]):
    """The warehouse, held by the run from its first step to its last."""

    store: dg.ResourceDependency[Store]

    @contextlib.contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator[Warehouse]:
        """Hold the lock of the run, and its warehouse.

        Raises:
            UsageError: the run's config has another setting than the environment.
        """
        settings, opened = self.store.settings, self.store.opened
        self._require_same(settings)
        run_id = context.run.run_id if context.run else "without a record"
        with hold_run(settings, run_id):
            if opened:
                yield opened
                return
            log = context.log or logging.getLogger(__name__)
            with open_warehouse(settings, log, holder=f"run {run_id}") as opened_now:
                yield opened_now

    def _require_same(self, settings: Settings) -> None:
        given = {name: getattr(self, name) for name in Settings.model_fields}
        if {name: value for name, value in given.items() if value} != settings.shown():
            raise UsageError(
                "a run's config cannot change a setting: leave the resource warehouse out of it, set the PLANT_"
                " variable and start Dagster again"
            )


def _field(name: str) -> Any:
    """Return a setting as a text field of the config, which the UI masks if it is a secret."""
    return str, Field("", description=PREFIX + name.upper(), json_schema_extra={"dagster__is_secret": is_secret(name)})


_FIELDS: dict[str, Any] = {name: _field(name) for name in Settings.model_fields}
WarehouseResource = create_model("WarehouseResource", __base__=_Warehouse, __doc__=_Warehouse.__doc__, **_FIELDS)


def warehouse_resource(settings: Settings, opened: Warehouse | None = None) -> _Warehouse:
    """Return the resource of one store; `opened` is the warehouse if this process already holds it."""
    return WarehouseResource(store=Store(settings, opened), **settings.shown())
