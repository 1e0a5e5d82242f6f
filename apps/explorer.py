"""Served script: `panel serve apps/explorer.py`. The code lives in `ddg_explorer.app`."""

from ddg_explorer.app.serve import configure, open_session

configure()
open_session().servable()
