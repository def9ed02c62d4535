use super::*;

fn outcome(text: &str) -> Outcome<u64> {
    match body::<u64>(text.as_bytes(), 1) {
        Ok(Body::One(answer)) => answer.outcome(),
        _ => panic!("{text}"),
    }
}

fn error(text: &str) -> RpcError {
    match outcome(text) {
        Outcome::Error(error) => error,
        _ => panic!("{text}"),
    }
}

#[test]
fn reads_answers_with_any_id() {
    for id in [
        r#""id":0,"#,
        r#""id":"0","#,
        r#""id":"abc","#,
        r#""id":null,"#,
        "",
    ] {
        let text = format!(r#"{{"jsonrpc":"2.0",{id}"result":7}}"#);
        assert!(matches!(outcome(&text), Outcome::Result(Some(7))), "{text}");
    }
    for beside in [r#""error":null"#, r#""error":false"#, r#""error":"""#] {
        let text = format!(r#"{{"result":7,{beside}}}"#);
        assert!(matches!(outcome(&text), Outcome::Result(Some(7))), "{text}");
    }
    assert!(matches!(outcome(r#"{"id":1}"#), Outcome::Empty));
    assert!(matches!(
        outcome(r#"{"result":null}"#),
        Outcome::Result(None)
    ));
}

#[test]
fn reads_errors_in_every_shape() {
    let is = |text: &str, code: i64, message: &str| {
        let message = message.to_owned();
        assert_eq!(error(text), RpcError { code, message }, "{text}");
    };
    is(
        r#"{"error":{"code":-32005,"message":"slow"}}"#,
        -32_005,
        "slow",
    );
    is(
        r#"{"error":{"code":"-32005","message":"slow"}}"#,
        -32_005,
        "slow",
    );
    is(r#"{"error":{"code":429}}"#, 429, "");
    is(
        r#"{"error":{"message":null,"data":"rate limit"}}"#,
        0,
        "rate limit",
    );
    is(r#"{"error":{"message":"no","data":{"a":[1]}}}"#, 0, "no");
    is(r#"{"error":"slow down"}"#, 0, "slow down");
    is(r#"{"error":429}"#, 429, "");
    is(r#"{"message":"slow down"}"#, 0, "slow down");
    is(r#"{"status":429,"message":"slow"}"#, 429, "slow");
    is(r#"{"error":"slow","statusCode":429}"#, 0, "slow");
}

#[test]
fn reads_text_ids_in_batches() {
    let text = br#"[{"id":"1","result":8},{"id":0,"result":7}]"#;
    let Ok(Body::Many(answers)) = body::<u64>(text, 2) else {
        panic!("not a list");
    };
    let ids: Vec<_> = answers
        .into_iter()
        .map(|answer| answer.unwrap().id())
        .collect();
    assert_eq!(ids, [Some(1), Some(0)]);
}

#[test]
fn keeps_text_and_names_web_pages() {
    for (text, expected) in [
        ("Too many requests\n", "Too many requests"),
        (r#""Too many requests""#, "Too many requests"),
        ("<html><body>no</body></html>", WEB_PAGE),
    ] {
        match body::<u64>(text.as_bytes(), 1) {
            Ok(Body::Text(words)) => assert_eq!(words, expected),
            _ => panic!("{text}"),
        }
    }
    assert!(body::<u64>(b"{\"result\":", 1).is_err());
    assert!(body::<u64>(&[0xff], 1).is_err());
}

#[test]
fn finds_error_in_body() {
    let found = error_in(br#"{"id":null,"error":{"code":-32601,"message":"no"}}"#).unwrap();
    assert_eq!(found.code, -32_601);
    let found = error_in(br#"[{"id":0,"error":{"code":-32601,"message":"no"}}]"#).unwrap();
    assert_eq!(found.code, -32_601);
    assert_eq!(error_in(b"<html>"), None);
}

#[test]
fn error_counts_beside_unreadable_result() {
    let busy = RpcError {
        code: -32_005,
        message: "slow".to_owned(),
    };
    for result in [r#""""#, r#""zz""#, "{}", "[]"] {
        let one =
            format!(r#"{{"id":0,"result":{result},"error":{{"code":-32005,"message":"slow"}}}}"#);
        assert_eq!(error(&one), busy, "{one}");
        let Ok(Body::Many(answers)) = body::<u64>(format!("[{one}]").as_bytes(), 1) else {
            panic!("not a list");
        };
        for answer in answers {
            match answer.unwrap().outcome() {
                Outcome::Error(error) => assert_eq!(error, busy),
                _ => panic!("{one}"),
            }
        }
    }
    for beside in [r#""error":"""#, r#""error":null"#, r#""error":{"code":0}"#] {
        let text = format!(r#"{{"result":"zz",{beside}}}"#);
        assert!(body::<u64>(text.as_bytes(), 1).is_err(), "{text}");
    }
}
