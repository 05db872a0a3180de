"""Unary calls of gRPC by hand, for what no command of the program does: what a client leaves behind
that dies in the middle. Just enough of HTTP/2, and of the encoding of messages.
"""
import socket
import struct

_DATA, _HEADERS, _SETTINGS, _PING = 0, 1, 4, 6
_END_STREAM, _END_HEADERS, _ACK = 1, 4, 1


def message(*fields):
    """An encoded message: (number, value) with an integer or bytes, which may be a message."""
    return b''.join(_varint(number << 3) + _varint(value) if isinstance(value, int)
                    else _varint(number << 3 | 2) + _varint(len(value)) + value
                    for number, value in fields)


def fields(encoded):
    """The fields of a message as {number: [values]}. Fixed numbers do not occur here."""
    found, at = {}, 0
    while at < len(encoded):
        tag, at = _take_varint(encoded, at)
        value, at = _take_varint(encoded, at)
        if tag & 7 == 2:
            value, at = encoded[at:at + value], at + value
        found.setdefault(tag >> 3, []).append(value)
    return found


def call(address, method, request, timeout=20):
    """The encoded answer of '/package.Service/Method'; b'' where there is none."""
    host, port = address.rsplit(':', 1)
    with socket.create_connection((host, int(port)), timeout=timeout) as connection:
        headers = ((':method', 'POST'), (':scheme', 'http'), (':path', method), (':authority', address),
                   ('te', 'trailers'), ('content-type', 'application/grpc'))
        connection.sendall(b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n' + _frame(_SETTINGS, 0, 0, b'')
                           + _frame(_HEADERS, _END_HEADERS, 1, b''.join(_literal(*header) for header in headers))
                           + _frame(_DATA, _END_STREAM, 1, struct.pack('>BI', 0, len(request)) + request))
        body = b''
        while True:
            head = _read(connection, 9)
            size, kind, flags = int.from_bytes(head[:3], 'big'), head[3], head[4]
            payload = _read(connection, size)
            if kind in (_SETTINGS, _PING) and not flags & _ACK:
                connection.sendall(_frame(kind, _ACK, 0, payload if kind == _PING else b''))
            if kind == _DATA:
                body += payload
            if kind in (_DATA, _HEADERS) and flags & _END_STREAM:
                return body[5:]


def _varint(number):
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _take_varint(encoded, at):
    number, shift = 0, 0
    while True:
        number |= (encoded[at] & 0x7F) << shift
        shift += 7
        at += 1
        if encoded[at - 1] < 0x80:
            return number, at


def _literal(name, value):
    """A header that is not indexed; both texts shorter than 127 bytes."""
    return b'\0' + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()


def _frame(kind, flags, stream, payload):
    return len(payload).to_bytes(3, 'big') + struct.pack('>BBI', kind, flags, stream) + payload


def _read(connection, size):
    data = b''
    while len(data) < size:
        more = connection.recv(size - len(data))
        if not more:
            raise ConnectionError('the server has closed the connection')
        data += more
    return data
