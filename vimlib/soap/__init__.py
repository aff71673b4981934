"""The codec: bytes in, objects out.

Envelopes, encoder, decoder and limits live here. Nothing here may do I/O: no asyncio, socket, ssl
or aiohttp. Tables come with the method, so no generated package is imported either.
"""
