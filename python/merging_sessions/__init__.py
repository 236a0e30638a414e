"""Session engines for Django whose saves merge: `merging_sessions.db` and `merging_sessions.cached_db`."""
