"""`bluetune ui`: a page on this machine, with the user's own rights."""
