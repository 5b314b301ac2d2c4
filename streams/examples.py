"""The sample application: `STREAMS_APPS=streams.examples` runs it, and so does a start without STREAMS_APPS.

It is what `streams.agents`, `streams.reactions`, `streams.schedules` and `streams.tables` hold. Each of them, and each
module in them, can be named by itself as well: `STREAMS_APPS=shop,streams.schedules.health`.
"""
