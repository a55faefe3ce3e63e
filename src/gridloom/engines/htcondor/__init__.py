"""HTCondor through its own bindings (`htcondor2`), with and without a shared file system."""
