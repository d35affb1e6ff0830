"""
What C{twist mux --status} serves: a page, the same as JSON, and metrics.

  - L{twisted_mux.status.sampling} looks at tunnels and carriers once a second.
  - L{twisted_mux.status.report} is what it has seen, for JSON.
  - L{twisted_mux.status.pages} answers requests, and knows who may ask.
  - L{twisted_mux.status.serving} is the service around it.
"""
