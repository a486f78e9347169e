"""Runs queries on an engine: reads {"tables": folder, "queries": [...]} and prints the rows of each as JSON."""

import json
import sys

engine = sys.argv[1]
asked = json.load(sys.stdin)
views = {"profiles": "profiles", "properties": "properties", "at_peak": "peak", "at_end": "end"}
views |= {name: name for name in ["traces", "frames", "snapshots", "envelope"]}

if engine == "duckdb":
    import duckdb

    connection = duckdb.connect()
    for view, table in views.items():
        connection.sql(f"CREATE VIEW {view} AS SELECT * FROM '{asked['tables']}/{table}/*.parquet'")
    run = lambda query: connection.sql(query).fetchall()
elif engine == "datafusion":
    import datafusion

    context = datafusion.SessionContext()
    for view, table in views.items():
        context.register_parquet(view, f"{asked['tables']}/{table}/")
    run = lambda query: [tuple(row.values()) for row in context.sql(query).to_pylist()]
else:
    from pyspark.sql import SparkSession

    session = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false").getOrCreate()
    for view, table in views.items():
        session.read.parquet(f"{asked['tables']}/{table}").createOrReplaceTempView(view)
    run = lambda query: [tuple(row) for row in session.sql(query).collect()]

for query in asked["queries"]:
    # Sums are decimals on some engines.
    rows = [[value if value is None or isinstance(value, (str, float)) else int(value) for value in row] for row in run(query)]
    print(json.dumps(rows))
