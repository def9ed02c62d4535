//! Rooms over every transport.

use serde_json::{Value, json};

use super::{ROOMS, Rights, RoomClient};
use crate::support::{BareGateway, Connection, Query, Received, Script, Transport};

const ROOM: &str = "room:open-1";

/// The next message of the room.
async fn message(connection: &mut Connection) -> Value {
    loop {
        match connection.receive().await {
            Received::Message(message) if message.channel == ROOM => {
                let mut data = message.data;
                // What Socket.IO and event streams add.
                for key in ["channel", "seq"] {
                    data.as_object_mut().unwrap().remove(key);
                }
                return json!({"event": message.event, "seq": message.seq, "data": data});
            }
            Received::Closed(code, reason) => panic!("closed with {code} {reason}"),
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_transport_carries_rooms() {
    let gateway = BareGateway::start(ROOMS).await;
    let query = Query {
        channels: vec![ROOM.to_owned()],
        ..Query::default()
    };
    let mut connections = Vec::new();
    for transport in [
        Transport::WebSocket,
        Transport::SocketIo,
        Transport::Polling,
        Transport::EventStream,
    ] {
        let base = gateway.server.url();
        let mut connection = Connection::open(transport, base, &query).await.unwrap();
        if transport != Transport::EventStream {
            connection
                .send_request("subscribe", &json!({"channel": ROOM}))
                .await;
            assert_eq!(connection.receive_response().await["success"], true);
        }
        connections.push((transport, connection));
    }
    let mut reader = RoomClient::join(&gateway.server, "reader", ROOM).await;
    let mut seq = 0;
    for sender in 0..3 {
        let (transport, connection) = &mut connections[sender];
        let token = Rights::default().token("alice");
        connection
            .send_request("auth", &json!({"token": token}))
            .await;
        assert_eq!(connection.receive_response().await["success"], true);
        let data = json!({"channel": ROOM, "type": "chat", "payload": {"text": "hi"},
            "key": format!("{transport:?}"), "echo": false});
        connection.send_request("publish", &data).await;
        seq += 1;
        let ack = connection.receive_response().await;
        assert_eq!(
            ack,
            json!({"channel": ROOM, "success": true, "seq": seq}),
            "{transport:?}"
        );
        let signal = json!({"channel": ROOM, "type": "typing"});
        connection.send_request("signal", &signal).await;
        assert_eq!(connection.receive_response().await["success"], true);
        let mut sent = reader.message().await;
        sent.as_object_mut().unwrap().remove("channel");
        let signal = reader.0.event("room-signal").await;
        for (at, (transport, connection)) in connections.iter_mut().enumerate() {
            if at != sender {
                assert_eq!(message(connection).await, sent, "{transport:?}");
                assert_eq!(
                    message(connection).await["data"],
                    signal["data"],
                    "{transport:?}"
                );
            }
        }
    }
    gateway.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn socketio_client_uses_rooms_with_acks() {
    let gateway = BareGateway::start(ROOMS).await;
    let token = Rights::default().token("alice");
    let arguments = [gateway.server.url(), "rooms", "--token", &token];
    let mut client = Script::node("tests/clients/socketio.mjs", &arguments);
    client
        .json("it is subscribed", |line| line["step"] == "subscribed")
        .await;
    // The client was joined to announcements at once.
    let mut admin = RoomClient::with(&gateway.server, "root", Rights::of_role("admin")).await;
    assert_eq!(
        admin.publish("announcements", "maintenance").await["seq"],
        1
    );
    let announced = client
        .json("the announcement", |line| line["step"] == "announcement")
        .await;
    assert_eq!(announced["data"]["payload"], "maintenance");
    client.finish().await;
    gateway.server.stop().await;
}
