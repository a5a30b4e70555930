"""Plans to columns: compiled kernels over keyed state, exact windows, snapshots."""
