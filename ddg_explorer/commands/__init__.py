"""The commands of `ddg-explorer`: `configure(parser)` and `run(args) -> Report` in each."""
