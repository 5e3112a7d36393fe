"""Makes pandas.parquet, the table that the tests of the Parquet reader read: `python3 pandas_parquet.py`
(pandas 3, pyarrow). The values are made up."""

from decimal import Decimal

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

table = pa.table(
    {
        "time": pa.array(pd.to_datetime([0, 500, 1000, 1500], unit="ms") + pd.Timedelta(seconds=1_700_000_000))
        .cast(pa.timestamp("ns")),
        "pressure": pa.array([4.5, -1.25, float("nan"), 7.0]),
        "count": pa.array([1, 2, 3, 2**32 - 1], pa.uint32()),
        "price": pa.array([Decimal("1.25"), Decimal("-0.50"), Decimal("99.99"), Decimal("0.00")]),
        "valve": pa.array(["open", None, "shut", "open"]).dictionary_encode(),
        "note": pa.array(["a", "", None, "d"]),
        "spectrum": pa.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [7.0, 8.0]], pa.list_(pa.float32())),
        "place": pa.array([{"x": 1.0}] * 4),
        "y": pa.array([True, False, True, False]),
    }
)
pq.write_table(table, "pandas.parquet", compression="zstd", row_group_size=3)
