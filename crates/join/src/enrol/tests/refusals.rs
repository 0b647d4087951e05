//! Every verdict that is no: what both sides say, and that nothing was given away or changed.

use super::*;
use crate::enrol::attempts::ALLOWED;

#[tokio::test]
async fn an_unknown_token_and_a_wrong_secret_are_told_apart() {
    let cluster = Cluster::start().await;
    let known = cluster.token(1).await;
    let unknown = JoinToken::generate(cluster.authority.fingerprint());
    let error = cluster.join(&unknown, "b").await.unwrap_err();
    cluster.both_say(&error, &["is not known", "tombolo token create"]);
    let secret = unknown.secret().reveal();
    let forged = known.reveal().replace(&known.secret().reveal(), &secret);
    let error = cluster
        .join(&forged.parse().unwrap(), "b")
        .await
        .unwrap_err();
    cluster.both_say(&error, &["secret of token", "is wrong"]);
    assert!(!cluster.log.text().contains(&secret));
    assert!(cluster.stored(&known).await.spec.used_by.is_empty());
    cluster.stop().await;
}

#[tokio::test]
async fn a_token_ends_at_its_second() {
    let cluster = Cluster::start().await;
    let token = cluster.token(2).await;
    cluster.ahead.store(3_500, Ordering::SeqCst);
    cluster.join(&token, "b").await.unwrap();
    cluster.ahead.store(3_601, Ordering::SeqCst);
    let error = cluster.join(&token, "c").await.unwrap_err();
    cluster.both_say(
        &error,
        &[
            "expired at 2",
            "Z; make another with `tombolo token create`",
        ],
    );
    cluster.stop().await;
}

#[tokio::test]
async fn a_revoked_token_lets_nobody_in() {
    let cluster = Cluster::start().await;
    let token = cluster.token(1).await;
    let mut stored = cluster.stored(&token).await;
    stored.spec.revoked = true;
    let version = stored.metadata.resource_version;
    cluster.write(stored.into(), version).await;
    let error = cluster.join(&token, "b").await.unwrap_err();
    cluster.both_say(&error, &["was revoked"]);
    cluster.stop().await;
}

#[tokio::test]
async fn a_replayed_token_is_refused_also_under_the_same_name() {
    let cluster = Cluster::start().await;
    let token = cluster.token(1).await;
    cluster.join(&token, "b").await.unwrap();
    for node in ["b", "c"] {
        let error = cluster.join(&token, node).await.unwrap_err();
        cluster.both_say(&error, &["was used by node b at 2", "tombolo token create"]);
    }
    cluster.stop().await;
}

#[tokio::test]
async fn a_name_has_one_owner() {
    let cluster = Cluster::start().await;
    let token = cluster.token(3).await;
    cluster.join(&token, "b").await.unwrap();
    for (taken, owner) in [("b", "b"), ("first", "first"), ("FIRST", "first")] {
        let error = cluster.join(&token, taken).await.unwrap_err();
        let way_out = format!("tombolo delete node {owner}");
        cluster.both_say(&error, &["is taken", &way_out]);
    }
    let error = cluster.join(&token, "10.9.9.9").await.unwrap_err();
    cluster.both_say(&error, &["10.9.9.9 belongs to the store"]);
    assert_eq!(cluster.stored(&token).await.spec.used_by.len(), 1);
    cluster.stop().await;
}

#[tokio::test]
async fn nobody_is_certified_for_the_address_of_another() {
    let cluster = Cluster::start().await;
    let node = "apiVersion: tombolo.dev/v1\nkind: Node\nmetadata: {name: a}\nspec:\n  \
                addresses: [{address: 10.0.0.1/24, interface: eth0, mtu: 1500}]\n";
    let node = tombolo_model::parse::parse("a.yaml", node)
        .unwrap()
        .remove(0)
        .resource;
    cluster.write(node, None).await;
    let token = cluster.token(1).await;
    for (address, words) in [
        ("10.0.0.1", "belongs to node a"),
        ("10.9.9.9", "belongs to the store"),
        ("0.0.0.0", "nobody's to have"),
        ("ff02::1", "nobody's to have"),
    ] {
        let at = cluster.address.to_string();
        let addresses = vec![address.parse().unwrap()];
        let client = JoinClient::new(&at, token.clone(), name("b"), addresses).unwrap();
        let error = ask(client).await.unwrap_err();
        cluster.both_say(&error, &[address, words]);
    }
    assert!(cluster.stored(&token).await.spec.used_by.is_empty());
    cluster.stop().await;
}

#[tokio::test]
async fn wrong_tokens_are_heard_ten_times_a_minute() {
    let cluster = Cluster::start().await;
    let good = cluster.token(1).await;
    let wrong = JoinToken::generate(cluster.authority.fingerprint());
    for _ in 0..ALLOWED {
        let error = cluster.join(&wrong, "b").await.unwrap_err();
        cluster.both_say(&error, &["is not known"]);
    }
    let error = cluster.join(&good, "b").await.unwrap_err();
    cluster.both_say(&error, &["too many wrong tokens"]);
    assert!(error.is_retryable());
    cluster.ahead.store(61, Ordering::SeqCst);
    cluster.join(&good, "b").await.unwrap();
    cluster.stop().await;
}

#[tokio::test]
async fn a_renewal_without_a_certificate_is_refused() {
    let cluster = Cluster::start().await;
    let body = br#"{"csr": "", "addresses": []}"#;
    let told = strangers::post(&cluster, "/v1/renew", body.to_vec()).await;
    assert!(
        told.starts_with("401 ") && told.contains("join with a token"),
        "{told}"
    );
    assert!(cluster.log.text().contains("none was shown"));
    cluster.stop().await;
}

#[tokio::test]
async fn requests_that_make_no_sense_are_refused_in_words() {
    let cluster = Cluster::start().await;
    let token = cluster.token(1).await;
    let whole = |node: &str, csr: &str| {
        let (id, secret) = (token.id(), token.secret().reveal());
        let text =
            format!(r#"{{"tokenID":"{id}","secret":"{secret}","node":"{node}","csr":"{csr}"}}"#);
        text.into_bytes()
    };
    let cases: [(&str, Vec<u8>, &str, &str); 8] = [
        (
            "/v1/join",
            br#"{"a\nWARN b\u001b[2J":1}"#.to_vec(),
            "400",
            "unknown field `a WARN b [2J`",
        ),
        (
            "/v1/join",
            b"{".to_vec(),
            "400",
            "cannot be understood: EOF",
        ),
        (
            "/v1/join",
            b"{\"x\":1}".to_vec(),
            "400",
            "unknown field `x`",
        ),
        (
            "/v1/join",
            whole("../b", ""),
            "400",
            "must start with a letter",
        ),
        (
            "/v1/join",
            whole("b", "no request"),
            "400",
            "request cannot be accepted",
        ),
        (
            "/v1/join",
            vec![b' '; 70_000],
            "413",
            "larger than 65536 bytes",
        ),
        (
            "/v1/other",
            b"{}".to_vec(),
            "404",
            "there is no POST /v1/other here",
        ),
        ("/v1/join", vec![0xff; 10], "400", "cannot be understood"),
    ];
    for (path, body, status, words) in cases {
        let told = strangers::post(&cluster, path, body).await;
        assert!(
            told.starts_with(status) && told.contains(words),
            "{words:?} in {told}"
        );
        assert!(cluster.log.text().contains(words), "{words:?} in the log");
    }
    assert!(cluster.stored(&token).await.spec.used_by.is_empty());
    cluster.stop().await;
}
