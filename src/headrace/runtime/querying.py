"""SQL over a journal, by DuckDB, in memory: nothing that is asked can change what is recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa

from headrace.core.errors import DataError, NotFound
from headrace.journal.tables import tables

if TYPE_CHECKING:
    from headrace.runtime.home import Home


def query(home: Home, sql: str, use_case: str | None = None) -> Any:
    """The answer to `sql` over the tables of `headrace.journal.tables`, as an Arrow table.

    Raises:
        NotFound: There is no journal, or there are several and none was named.
        DataError: DuckDB does not take the SQL; the message is its own.
    """
    known = home.use_cases()
    if use_case is None and len(known) != 1:
        if not known:
            raise NotFound(f"{home.folder} has no journal yet; headrace run makes one")
        raise NotFound(
            f"{home.folder} has several journals, {', '.join(known)}: name one with --use-case"
        )
    case = use_case or known[0]
    if case not in known:
        raise NotFound(f"no journal of {case!r}; there are: {', '.join(known) or 'none'}")
    with duckdb.connect(":memory:") as connection:
        lanes = [tables(home.journal(case, lane)) for lane in home.lanes(case)]
        for name in lanes[0]:
            whole = pa.concat_tables([lane[name] for lane in lanes], promote_options="default")
            connection.register(name, whole)
        connection.execute("SET enable_external_access = false")
        try:
            if len(connection.extract_statements(sql)) > 1:
                raise DataError(f"{sql!r} has several statements; ask one at a time")
            answer = connection.sql(sql)
        except duckdb.Error as error:
            raise DataError(str(error)) from error
        if answer is None:
            raise DataError("a query gives rows: expected a SELECT; nothing can be changed here")
        return answer.to_arrow_table()
