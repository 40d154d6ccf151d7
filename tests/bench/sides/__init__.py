"""The programs that are measured, each a process of its own; what they need comes from `BENCH_*` variables."""
