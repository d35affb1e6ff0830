"""
The rules of multiplexing, for every wire protocol alike: which streams there
are, what state they are in, who may send how much and whose turn it is.

No Twisted, no I/O, no clock: bytes are passed in and taken out, and time is an
argument.  See L{twisted_mux.engine.session} for how to drive it.
"""
