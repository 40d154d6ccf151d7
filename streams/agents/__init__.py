"""The Faust agents: decode, decide, emit; everything that decides is in `streams.core`."""
