"""What earlier code wrote, read and replayed by today's: `python -m tests.upgrade record` makes the recording anew."""
