"""Review of what was located in one's own recordings: clips to check, decisions, and the calibration from them."""
