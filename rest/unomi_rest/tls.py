"""
HTTPS: the certificate that REST is served with, looked at before anybody connects.
"""

from __future__ import annotations

import ssl

from unomi_scheduler import ConfigurationError, Settings


def check_certificate(settings: Settings) -> None:
    """
    Check that HTTPS can be served, if it is asked for.

    Raises:
        ConfigurationError: a file cannot be read, is no PEM, needs a passphrase, or key and certificate differ.
    """
    rest = settings.rest
    if rest.certificate is None:
        return
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # Without a passphrase at hand the library would ask for one on the terminal.
        context.load_cert_chain(rest.certificate, rest.key, password=b"")
    except OSError as error:
        reason = error.reason if isinstance(error, ssl.SSLError) and error.reason else error.strerror or str(error)
        raise ConfigurationError(
            f"rest.certificate and rest.key: expected a certificate and its own key without a passphrase, as files in "
            f"PEM form; {rest.certificate} and {rest.key}: {reason}"
        ) from error
