"""`python -m api.openapi`: writes docs/openapi/ and docs/api-versions.md as the code has them."""

from __future__ import annotations

from pathlib import Path

from api.openapi import files


def main() -> int:
    """0; says what it wrote."""
    for name in files.write(Path.cwd()):
        print(name)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
