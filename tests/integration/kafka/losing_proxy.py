"""Between clients and a broker: what is sent goes through, but for one kind of request."""

import socket
import threading
from contextlib import suppress

#: The request that ends a transaction, in Kafka's protocol.
END_TRANSACTION = 26
_HEAD = 6


class LosingProxy(threading.Thread):
    """Passes connections on to a broker, which tells clients that it is here.

    Requests of one kind are lost on the connections that there are when the first of them comes.

    Attributes:
        port: That clients connect to.
        lost: How many requests were.
    """

    def __init__(self, broker_port: int, kind: int) -> None:
        super().__init__(daemon=True)
        self._to, self._kind = ("127.0.0.1", broker_port), kind
        self._door = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._door.getsockname()[1]
        self.lost = 0
        self._begun = 0
        self._deaf_before = 1 << 30

    def run(self) -> None:
        while True:
            client, _ = self._door.accept()
            self._begun += 1
            broker = socket.create_connection(self._to)
            for work in (
                (self._requests, client, broker, self._begun),
                (self._answers, broker, client),
            ):
                threading.Thread(target=work[0], args=work[1:], daemon=True).start()

    def _requests(self, client: socket.socket, broker: socket.socket, number: int) -> None:
        # where one side has gone, the other goes with it
        with client, broker, client.makefile("rb") as sent, suppress(OSError):
            while len(head := sent.read(_HEAD)) == _HEAD:
                rest = sent.read(int.from_bytes(head[:4]) + 4 - _HEAD)
                if int.from_bytes(head[4:]) == self._kind and number < self._deaf_before:
                    self._deaf_before = min(self._deaf_before, self._begun + 1)
                    self.lost += 1
                else:
                    broker.sendall(head + rest)

    @staticmethod
    def _answers(broker: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while answer := broker.recv(1 << 16):
                client.sendall(answer)
            client.shutdown(socket.SHUT_WR)
