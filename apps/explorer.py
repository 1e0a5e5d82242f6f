"""Served script: `panel serve apps/explorer.py`. The code lives in `ddg_explorer.app`."""

from ddg_explorer.commands.serve import import_app

app = import_app()
app.configure()
app.open_session().servable()
