//! docker-compose.yml: no container engine runs here, so its command is run as written, with addresses of this machine.

use chaincast_dev::{Anvil, AnvilOptions};
use serde_json::Value;

use crate::support::{
    BareGateway, Server, TempDir, eventually, fresh_database, run_to_end, run_to_end_with,
};

fn compose() -> String {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/docker-compose.yml");
    std::fs::read_to_string(file).unwrap()
}

/// The lines of one service.
fn service(text: &str, name: &str) -> String {
    let start = text
        .find(&format!("\n  {name}:\n"))
        .expect("the service exists")
        + 1;
    let lines = text[start..].lines();
    let lines = lines.enumerate();
    let own =
        lines.take_while(|(at, line)| *at == 0 || line.is_empty() || line.starts_with("    "));
    own.map(|(_, line)| format!("{line}\n")).collect()
}

/// The entries of `command:`.
fn command(service: &str) -> Vec<String> {
    let after = service.lines().skip_while(|line| line.trim() != "command:");
    let entries = after
        .skip(1)
        .map_while(|line| line.trim().strip_prefix("- "));
    entries
        .map(|entry| entry.trim_matches('"').to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn compose_command_serves_prices_and_is_healthy() {
    let text = service(&compose(), "chaincast");
    let anvil = Anvil::start(&AnvilOptions {
        port: 0,
        block_time: Some(std::time::Duration::from_millis(500)),
        state_file: None,
        chain_id: 31_337,
        slots_in_an_epoch: 32,
        ..AnvilOptions::default()
    })
    .await
    .unwrap();
    let database = fresh_database().await;
    let dir = TempDir::new("compose");
    let data = dir.path().join("data");
    let given = [
        ("--host=0.0.0.0", "--host=127.0.0.1".to_owned()),
        ("--data-dir=/data", format!("--data-dir={}", data.display())),
        ("http://anvil:8545", anvil.http_url()),
        (
            "postgres://chaincast:chaincast@postgres:5432/chaincast",
            database,
        ),
    ];
    let mut arguments = command(&text);
    for (written, here) in &given {
        let found = arguments.iter_mut().find(|one| one.contains(written));
        let argument = found.unwrap_or_else(|| panic!("{written} is not in the command:\n{text}"));
        *argument = argument.replace(written, here);
    }
    arguments.push("--port=0".to_owned());
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let server = Server::start(&arguments).await;
    let prices = format!("{}/api/v1/prices", server.url());
    eventually("a price is served", || async {
        let page: Value = reqwest::get(&prices).await.ok()?.json().await.ok()?;
        (!page["data"].as_array()?.is_empty()).then_some(())
    })
    .await;

    let check = r#"["CMD", "/usr/local/bin/chaincast", "health", "--alive"]"#;
    assert!(text.contains(check), "{text}");
    let url = server.url().to_owned();
    let health = ["health", "--url", &url];
    eventually("the server is healthy", || async {
        let (code, output, _) = run_to_end(&health).await;
        (code == 0 && output.contains("\"ready\":true")).then_some(())
    })
    .await;
    server.stop().await;
    for more in [&[][..], &["--alive"]] {
        let (code, _, error) = run_to_end(&[&health[..], more].concat()).await;
        assert_eq!(code, 1);
        assert!(
            error.contains(&url) && error.contains("cannot connect"),
            "{error}"
        );
    }
}

#[test]
fn services_reach_each_other_by_name() {
    let text = compose();
    assert!(!text.contains("network_mode"), "{text}");
    for name in ["postgres", "redis", "anvil", "chaincast"] {
        let service = service(&text, name);
        assert!(
            service.contains("healthcheck:"),
            "{name} has no health check"
        );
        let ports = service.lines().skip_while(|line| line.trim() != "ports:");
        let ports = ports
            .skip(1)
            .map_while(|line| line.trim().strip_prefix("- "));
        for port in ports {
            assert!(
                port.starts_with("\"127.0.0.1:"),
                "{port} is open to other machines"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn health_rejects_invalid_url() {
    for url in ["ftp://nowhere", "http://", "a b"] {
        let (code, _, error) = run_to_end(&["health", "--url", url]).await;
        assert_eq!(code, 2, "{error}");
        assert!(error.contains("--url"), "{error}");
    }
}

/// The arguments of the image's health check.
fn image_check() -> Vec<String> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/Dockerfile");
    let text = std::fs::read_to_string(file).unwrap();
    let line = text.lines().find(|line| line.starts_with("HEALTHCHECK"));
    let (_, command) = line.unwrap().split_once("CMD ").unwrap();
    let command: Vec<String> = serde_json::from_str(command).unwrap();
    assert_eq!(command[0], "/usr/local/bin/chaincast");
    command[1..].to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn image_is_healthy_while_its_provider_is_unreachable() {
    // Its node never answers.
    let bare = BareGateway::start("").await;
    let ready = reqwest::get(format!("{}/readyz", bare.server.url())).await;
    assert_eq!(ready.unwrap().status(), 503);
    let check = image_check();
    let check: Vec<&str> = check.iter().map(String::as_str).collect();
    let port = bare.server.port().to_string();
    // Of the other variables, only the listen address matters.
    for (variable, other) in [
        (
            "PORT",
            ("CHAINCAST__CHAINS__0__RPC_URL", "http://n.example"),
        ),
        ("CHAINCAST__SERVER__PORT", ("CHAINCAST__SERVER__HOST", "::")),
    ] {
        let environment = [(variable, port.as_str()), other];
        let (code, output, error) = run_to_end_with(&environment, &check).await;
        assert_eq!(code, 0, "{variable}: {output}{error}");
    }
    let file = bare.config().to_owned();
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("port = 0", &format!("port = {port}"))).unwrap();
    let (code, output, error) = run_to_end(&["health", "--alive", "--config", &file]).await;
    assert_eq!(code, 0, "{output}{error}");
    bare.server.stop().await;
}
