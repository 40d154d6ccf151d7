"""What the API answers to a GET: single objects from the worker that owns them, lists from the warehouse."""
