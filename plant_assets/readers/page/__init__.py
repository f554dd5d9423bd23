"""The weekly page: figures from the published marts, charts by Vega-Lite, one HTML file by Jinja."""
