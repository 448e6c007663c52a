"""Pixels: frames described, decoded, encoded, transcoded and rendered.

Everything takes bytes and values and gives bytes and values, so that it can run in another process.
numpy and the codecs are imported where a frame is decoded: ``description``, ``pairs``,
``presentation`` and ``rendering_options`` answer from a header alone and load neither.

A frame of native pixel data is given in little endian, starting at bit 0: whoever cuts it out of
the pixel data reverses the words of a big endian source, since words of 16 bits may span frames
of an odd number of bytes.
"""
