"""Shared access signatures."""

import base64
import hashlib
import hmac
import time
import urllib.parse


def token(audience, key, policy=None):
    """A signature for an hour."""
    resource = urllib.parse.quote(audience, safe="")
    expiry = str(int(time.time()) + 3600)
    digest = hmac.new(base64.b64decode(key), f"{resource}\n{expiry}".encode(), hashlib.sha256).digest()
    signature = urllib.parse.quote(base64.b64encode(digest), safe="")
    named = f"&skn={policy}" if policy else ""
    return f"SharedAccessSignature sr={resource}&sig={signature}&se={expiry}{named}"
