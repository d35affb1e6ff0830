"""
All that is tried with every real peer, in the order of the table.
"""

from __future__ import annotations

from tests.interop import scenarios_data, scenarios_ends, scenarios_sessions
from tests.interop.link import Scenario

#: By name.
SCENARIOS: dict[str, Scenario] = {
    each.name: each
    for module in (scenarios_data, scenarios_ends, scenarios_sessions)
    for each in module.scenario.all
}
