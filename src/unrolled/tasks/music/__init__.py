"""Piano rolls: train on pieces of music, predict their next frame, write new pieces."""
