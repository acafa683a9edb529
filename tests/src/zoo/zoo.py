"""What the zoo's Python scripts are made of: plain sockets, a server with one thread for each connection, HTTP by hand."""

import http.client
import os
import signal
import socket
import ssl
import struct
import sys
import threading
import time
from time import sleep

SERVER = os.environ["S"]
SERVER6 = os.environ["S6"]
CLIENT = os.environ["C"]
PORT = int(os.environ["PORT"])
PORT1 = int(os.environ["PORT1"])
RUN = os.environ["RUN"]
GET = b"GET / HTTP/1.1\r\nHost: zoo\r\n\r\n"


def connect(port=PORT, host=SERVER, timeout=10):
    return socket.create_connection((host, port), timeout)


def listen(port=PORT, backlog=64):
    s = socket.socket(socket.AF_INET6)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    s.bind(("::", port))
    s.listen(backlog)
    return s


def serve(handle, port=PORT, backlog=64):
    listener = listen(port, backlog)

    def run(s):
        try:
            handle(s)
        except OSError:
            pass
        finally:
            s.close()

    while True:
        s, _ = listener.accept()
        threading.Thread(target=run, args=(s,), daemon=True).start()
        del s


def reset(s):
    """Closes with SO_LINGER 0."""
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()


def header(s):
    """Reads to the end of an HTTP header; what comes after it in the same read is returned too."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = s.recv(4096)
        if not more:
            break
        data += more
    return data


def answer(s, body=b"ok" * 500, extra=""):
    s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%s\r\n" % (len(body), extra.encode()) + body)


def read_answer(s):
    """Reads one whole answer with a Content-Length; returns its status."""
    data = header(s)
    head, _, body = data.partition(b"\r\n\r\n")
    size = 0
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            size = int(line.split(b":")[1])
    while len(body) < size:
        more = s.recv(65536)
        if not more:
            break
        body += more
    return head.split(b" ")[1] if b" " in head else b""


def get(s):
    s.sendall(GET)
    return read_answer(s)


def drain(s):
    """Reads until the other side closes or resets."""
    try:
        while s.recv(65536):
            pass
    except OSError:
        pass


def client_tls():
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def server_tls():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(RUN + "/cert.pem", RUN + "/key.pem")
    return context
