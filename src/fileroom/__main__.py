"""``python -m fileroom`` is ``fileroom``."""

from fileroom.cli import main

if __name__ == "__main__":
    main()
