"""The wire: the HTTP server, SOAP dispatch, file and disk transfers, the WSDL."""
