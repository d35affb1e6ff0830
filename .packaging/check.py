"""
Checks what a wheel holds: the package, its marker for type checkers and the plugin,
and nothing that would make C{twisted} a package of ours.
"""

from __future__ import annotations

import sys
import zipfile

NEEDED = {
    "twisted/plugins/twisted_mux_plugins.py",
    "twisted_mux/__init__.py",
    "twisted_mux/py.typed",
    "twisted_mux/status/page.css",
    "twisted_mux/status/page.html",
    "twisted_mux/status/page.js",
}

with zipfile.ZipFile(sys.argv[1]) as wheel:
    names = set(wheel.namelist())
files = {name for name in names if ".dist-info/" not in name}
missing = NEEDED - files
foreign = {name for name in files if not name.startswith("twisted_mux/")} - NEEDED
caches = {name for name in files if "cache" in name}
licence = [name for name in names if name.endswith("/licenses/LICENSE")]
if missing or foreign or caches or not licence:
    sys.exit(f"missing: {missing}, foreign: {foreign}, caches: {caches}, {licence}")
