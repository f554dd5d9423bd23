"""`plant-assets doctor`: the configuration, the state of source and warehouse, and oddities. Nothing here writes."""
