"""Workers as Slurm jobs: arrays, batch files, the place of this process, whether any are left."""
