"""The working side: does one task (`python -m gridloom.worker task.json`) or many in turn (`--serve`)."""
