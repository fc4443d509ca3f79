import base64, json, os, socket, sys

session, since = sys.argv[1], 0
sock = socket.create_connection(("127.0.0.1", int(os.environ.get("PORT", "8000"))))
sock.sendall(("GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
              "Sec-WebSocket-Key: %s\r\n\r\n" % base64.b64encode(os.urandom(16)).decode()).encode())
stream = sock.makefile("rb")
while stream.readline() not in (b"\r\n", b""):
    pass
ask = json.dumps({"type": "subscribe", "session_id": session, "since": since}).encode()
sock.sendall(bytes([0x81, 0x80 | len(ask)]) + bytes(4) + ask)  # masked with zeros; under 126 bytes
while head := stream.read(2):
    size = head[1]
    if size > 125:
        size = int.from_bytes(stream.read(2 if size == 126 else 8), "big")
    payload = stream.read(size)
    if head[0] == 0x81:
        event = json.loads(payload)
        if event["event_type"] != "heartbeat":
            print(event.get("seq"), event["event_type"], event["data"])
        if event["event_type"] in ("workflow_completed", "workflow_failed", "workflow_cancelled"):
            break
