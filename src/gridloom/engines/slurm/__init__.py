"""Slurm through its own commands: sbatch, squeue, scancel, and sacct where there is accounting."""
