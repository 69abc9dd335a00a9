"""`python -m diascope` is `diascope`; torchrun starts it so."""

from diascope.cli.main import main

if __name__ == "__main__":
    main()
