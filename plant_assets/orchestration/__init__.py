"""How Dagster runs the graph: IO manager, partitions, jobs, schedule and sensors."""
