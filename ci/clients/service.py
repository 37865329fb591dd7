"""The service side of a simulated IoT Hub over REST, with the policy of its world."""

import http.client
import json
import ssl

from sas import token


class Service:
    def __init__(self, world):
        self.world = world
        self.context = ssl.create_default_context(cafile=world.root)
        # The name in the certificate is not where it listens.
        self.context.check_hostname = False

    def call(self, method, path, body=None):
        host, _, port = self.world.addresses[443].rpartition(":")
        connection = http.client.HTTPSConnection(host, int(port), context=self.context, timeout=40)
        policy = self.world.policy
        headers = {
            "Host": self.world.host,
            "Authorization": token(self.world.host, policy["key"], policy["name"]),
            "Content-Type": "application/json",
        }
        connection.request(method, f"{path}?api-version=2021-04-12", json.dumps(body) if body else None, headers)
        answer = connection.getresponse()
        text = answer.read().decode()
        assert answer.status < 300, f"{method} {path}: {answer.status} {text}"
        return json.loads(text or "null")
