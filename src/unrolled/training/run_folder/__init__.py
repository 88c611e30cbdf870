"""One run on the disk: its folder, lock, checkpoint and logs."""
