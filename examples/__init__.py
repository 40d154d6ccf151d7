"""Programs that use Clearline with nothing of its own but the contracts."""
