"""
C{python -m twisted_mux demo}: the main job, on real files.

An unmodified L{twisted.web.server.Site} serves a folder, an unmodified
L{twisted.web.client.Agent} fetches every file in it, and all that makes this
many streams over one TCP connection is two endpoint strings (see
L{twisted_mux.demo.run}).  Each file is fetched on a stream of its own, and its
SHA-256 is compared with the disk's.
"""

__all__: list[str] = []
