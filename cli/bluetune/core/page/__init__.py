"""What the page of `bluetune ui` shows: pure functions of objects, records and the time."""
