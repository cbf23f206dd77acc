"""`python -m voxtune` is the same as `voxtune`."""

from voxtune.cli.main import main

if __name__ == "__main__":
    main()
