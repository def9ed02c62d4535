//! MessagePack, with the libraries that clients use, compared with JSON, with and without compression.

use crate::support::{Script, World};

const SCRIPT: &str = "tests/clients/msgpack.mjs";

async fn both_formats(settings: &str, compression: &str) {
    let world = World::with(settings).await;
    let mut client = Script::node(SCRIPT, &[&world.server.realtime(), compression]);
    client
        .json("both are subscribed", |line| line["step"] == "subscribed")
        .await;
    world.set_feed("ETH", 4_444).await;
    world.control.mine(1).await.unwrap();
    client
        .json("the script is done", |line| line["step"] == "done")
        .await;
    client.finish().await;
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messagepack_equals_json_and_its_library_decodes_it() {
    both_formats("", "plain").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn compressed_sessions_get_the_same_in_both_formats() {
    both_formats("[gateway]\npermessage_deflate = true", "deflate").await;
}
