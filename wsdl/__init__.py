"""The interface description of vSphere's vim25 service, and the script that made it.

`build.py` reads the type facts (`typeinfo`), resolves them into the wire format
(`schema`) and writes the three files of `vim25/` (`emit_xsd`, `emit_wsdl`, `emit_sidecar`).
Nothing here is installed: `vimlib` is generated from the committed files.
"""
