"""The weekly page: figures from the published marts, charts by Altair, one HTML file by Jinja."""
