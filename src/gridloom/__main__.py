"""`python -m gridloom` is the command `gridloom`."""

from gridloom.cli.main import main

main()
