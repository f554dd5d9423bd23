"""`plant-assets doctor`: what is configured, what is there and what is odd. Nothing here writes."""
