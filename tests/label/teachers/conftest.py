"""No key, price, proxy or certificate of whoever runs the tests reaches a teacher."""

import pytest

from vdistill.label.teachers.chat_endpoint import KEYS
from vdistill.label.teachers.options import PRICES

PROXIES = ("ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    for name in (*KEYS, PRICES, *PROXIES, *map(str.lower, PROXIES)):
        monkeypatch.delenv(name, raising=False)
