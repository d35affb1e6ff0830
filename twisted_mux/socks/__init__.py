"""
A SOCKS server for each connection: the endpoint behind C{socks5:}.

L{twisted_mux.socks.request} reads what a client wants, L{twisted_mux.socks.targets}
decides whether it may, and L{twisted_mux.socks.endpoint} does it.
"""
