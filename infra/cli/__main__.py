"""`python -m infra.cli`: the same as `clearline`, also where it isn't installed."""

from infra.cli import main

main(prog_name="clearline")
