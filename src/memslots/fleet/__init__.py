"""Thousands of recordings as tables: scanned in batches, on as many machines as there are.

    from memslots.fleet.scan import scan
    scan(["recordings/"], "fleet")
    from memslots.fleet.tables import open_tables
    open_tables("fleet").sql("SELECT * FROM refusals_by_rule")

Needs DuckDB: pip install 'memslots[fleet]'.
"""
