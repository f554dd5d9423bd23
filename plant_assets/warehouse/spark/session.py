"""Start Spark, and read its errors. No table of a warehouse is known here."""

import contextlib
import importlib.util
import os
import re
import shutil
import socket
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from plant_assets.settings import SPARK, Settings, UsageError, size_in_bytes
from plant_assets.warehouse.store import EngineFailed

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


CONNECT_SECONDS, EXECUTOR_SECONDS = 5, 60


def require_spark(settings: Settings) -> None:
    """Check that Spark can be started.

    Raises:
        UsageError: pyspark or Java is not installed.
    """
    given = f"PLANT_WAREHOUSE={settings.warehouse}"
    if importlib.util.find_spec("pyspark") is None:
        raise UsageError(f"{given} needs pyspark: install it by `pip install 'plant-assets[spark]'`")
    home = os.environ.get("JAVA_HOME")
    if shutil.which("java", path=f"{home}/bin" if home else None) is None:
        where = f"JAVA_HOME={home} has no bin/java" if home else "there is no `java` on the PATH"
        raise UsageError(f"{given} needs Java 17 or later, and {where}")


def require_master(settings: Settings) -> None:
    """Check that the master answers. Spark itself would try for a minute, and end in a stack trace."""
    master = str(settings.spark_master)
    if not master.startswith(SPARK):
        return
    for address in master.removeprefix(SPARK).split(","):
        host, port = address.rsplit(":", 1)
        with contextlib.suppress(OSError), socket.create_connection((host, int(port)), CONNECT_SECONDS):
            return
    raise UsageError(f"no Spark master answers at PLANT_WAREHOUSE={master}: start it, or name another")


def start_session(settings: Settings, **more: str) -> "SparkSession":
    """Start a session on the settings' master; `spark-defaults.conf` and the environment say the rest.

    What Spark says goes to `<warehouse>.spark.log`.

    Raises:
        UsageError: the master does not answer, or has no worker to spare.
    """
    from pyspark import SparkConf, SparkContext
    from pyspark.java_gateway import launch_gateway
    from pyspark.sql import SparkSession

    require_master(settings)
    master, path = str(settings.spark_master), settings.warehouse_path
    scratch = path.with_name(path.name + ".spark.tmp")
    given = {
        "spark.master": master,
        "spark.app.name": f"plant-assets {path.stem}",
        "spark.ui.enabled": "false",
        "spark.log.level": "WARN",
        "spark.driver.memory": f"{max(size_in_bytes(settings.memory_limit) // 2 // 2**20, 512)}m",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.timestampType": "TIMESTAMP_NTZ",
        # Files are named one by one: to list them is no work for a cluster.
        "spark.sql.sources.parallelPartitionDiscovery.threshold": "100000",
        "spark.hadoop.mapreduce.fileoutputcommitter.marksuccessfuljobs": "false",
        # What is kept for the UI, which is off, of every query and task.
        **dict.fromkeys(("spark.sql.ui.retainedExecutions", "spark.ui.retainedJobs", "spark.ui.retainedStages"), "1"),
        **more,
    }
    if not master.startswith(SPARK):
        shutil.rmtree(scratch, ignore_errors=True)
        given["spark.local.dir"] = str(scratch)
    if not master.startswith(SPARK) or re.match(rf"{SPARK}(127\.|localhost:)", master):
        given |= {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
    conf = SparkConf()
    for name, value in given.items():
        conf.set(name, value)
    active = SparkSession.getActiveSession()
    if active:
        # A process has one; another warehouse's was left open by an error.
        active.stop()
    log = path.with_name(path.name + ".spark.log")
    with failures():
        if SparkContext._gateway is None:
            # Java lives as long as this process.
            log.touch(mode=0o600)
            with log.open("w") as said:
                gateway = launch_gateway(conf, popen_kwargs={"stdout": said, "stderr": said})
        else:
            gateway = SparkContext._gateway
        context = SparkContext(gateway=gateway, conf=conf)
    session = SparkSession(context)
    if master.startswith(SPARK):
        until = time.monotonic() + EXECUTOR_SECONDS
        # The driver is counted too.
        while context._jsc.sc().getExecutorMemoryStatus().size() < 2:
            if time.monotonic() > until:
                session.stop()
                raise UsageError(
                    f"the Spark master at PLANT_WAREHOUSE={master} gave no worker in {EXECUTOR_SECONDS} seconds:"
                    " start one, or wait for one that is free"
                )
            time.sleep(0.1)
    return session


@contextlib.contextmanager
def failures() -> Iterator[None]:
    """Raise Spark's errors in one line, with their cause.

    Raises:
        EngineFailed: Spark raised something.
    """
    from py4j.protocol import Py4JError, Py4JJavaError
    from pyspark.errors import PySparkException

    try:
        yield
    except Py4JJavaError as error:
        cause = error.java_exception
        while cause.getCause() is not None:
            cause = cause.getCause()
        raise EngineFailed(_first_line(cause.toString())) from error
    except (PySparkException, Py4JError) as error:
        raise EngineFailed(_first_line(str(error))) from error


def _first_line(text: str) -> str:
    return "Spark: " + next((line.strip() for line in text.splitlines() if line.strip()), "it gave no reason")
