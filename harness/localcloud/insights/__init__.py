"""CloudWatch Logs Insights: the query language and the four operations that run it.

`InsightsService` answers StartQuery, GetQueryResults, StopQuery and DescribeQueries over whatever log store its
``fetch`` argument reads. What the query language has here is written down in `harness.localcloud.insights.parser`;
whatever else a query says is refused with MalformedQueryException, never ignored.
"""

from harness.localcloud.insights.fields import LogEvent
from harness.localcloud.insights.parser import parse_query
from harness.localcloud.insights.pipeline import QueryOutcome, run_query
from harness.localcloud.insights.service import InsightsService

__all__ = ["InsightsService", "LogEvent", "QueryOutcome", "parse_query", "run_query"]
