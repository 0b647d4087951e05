//! Joins and renewals that succeed, and what they leave in the store.

use tombolo_model::{KindName, Node, ResourceKey};

use super::gate::Gate;
use super::*;
use crate::{expires_at, read};

#[tokio::test]
async fn a_node_joins_and_gets_a_certificate_of_its_own() {
    let cluster = Cluster::start().await;
    let token = cluster.token(1).await;
    let address = cluster.address.to_string();
    let addresses = vec![[10, 0, 0, 2].into()];
    let client = JoinClient::new(&address, token.clone(), name("b"), addresses).unwrap();
    let key = client.key_pem();
    let joined = ask(client).await.unwrap();
    assert_eq!(joined.identity.key, key);
    assert_eq!(joined.ca, cluster.authority.certificate_pem());
    assert_eq!(joined.store_endpoints, ["https://10.9.9.9:2379"]);
    assert_eq!(joined.cluster, "lab");
    let facts = read::facts(&read::certificate(&joined.identity.certificate).unwrap()).unwrap();
    assert_eq!(facts.node, Some(name("b")));
    let stored = cluster.stored(&token).await.spec;
    let [used] = &stored.used_by[..] else {
        panic!("{stored:?}")
    };
    assert_eq!((&used.node, &used.key_hash), (&name("b"), &facts.key_hash));
    let log = cluster.log.text();
    assert!(
        log.contains("node joined") && !log.contains(&token.secret().reveal()),
        "{log}"
    );
    cluster.stop().await;
}

#[tokio::test]
async fn a_repeated_join_with_the_same_key_is_the_same_join() {
    let cluster = Cluster::start().await;
    let token = cluster.token(1).await;
    let client = cluster.client(&token, "b");
    let key = client.key_pem();
    ask(client).await.unwrap();
    let again = cluster.client(&token, "b").with_key(&key).unwrap();
    let again = ask(again).await.unwrap();
    assert_eq!(again.identity.key, key);
    assert_eq!(cluster.stored(&token).await.spec.used_by.len(), 1);
    cluster.stop().await;
}

#[tokio::test]
async fn of_twenty_nodes_that_race_for_one_use_one_wins() {
    let cluster = Cluster::start().await;
    let token = cluster.token(1).await;
    let racers: Vec<_> = (0..20)
        .map(|n| tokio::spawn(ask(cluster.client(&token, &format!("n{n}")))))
        .collect();
    let mut winners = Vec::new();
    for racer in racers {
        match racer.await.unwrap() {
            Ok(joined) => winners.push(joined),
            Err(error) => cluster.both_say(&error, &["was used by node n"]),
        }
    }
    assert_eq!(winners.len(), 1);
    assert_eq!(cluster.stored(&token).await.spec.used_by.len(), 1);
    cluster.stop().await;
}

#[tokio::test]
async fn a_token_for_twenty_lets_twenty_in_at_once() {
    let cluster = Cluster::start().await;
    let token = cluster.token(20).await;
    let racers: Vec<_> = (0..20)
        .map(|n| tokio::spawn(ask(cluster.client(&token, &format!("n{n}")))))
        .collect();
    for racer in racers {
        racer.await.unwrap().unwrap();
    }
    assert_eq!(cluster.stored(&token).await.spec.used_by.len(), 20);
    let error = cluster.join(&token, "late").await.unwrap_err();
    cluster.both_say(&error, &["may not be used again"]);
    cluster.stop().await;
}

async fn renewed(cluster: &Cluster, identity: &KeyAndCert) -> Result<Joined, JoinError> {
    let (address, identity) = (cluster.address.to_string(), identity.clone());
    let ca = cluster.authority.certificate_pem().to_owned();
    beside(move || renew(&address, &identity, &ca, vec![])).await
}

async fn delete_node(cluster: &Cluster, node: &str) {
    let key = ResourceKey {
        kind: KindName::Node,
        namespace: None,
        name: name(node),
    };
    let read = cluster.resources.get(&key).await.unwrap().unwrap();
    let version = read.metadata().resource_version.unwrap();
    let written = cluster
        .resources
        .commit(&[Write::delete(key, version)])
        .await;
    assert!(matches!(written.unwrap(), Commit::Done(_)));
}

#[tokio::test]
async fn a_node_renews_with_its_certificate_and_a_lost_answer_does_no_harm() {
    let cluster = Cluster::start().await;
    let token = cluster.token(1).await;
    let joined = cluster.join(&token, "b").await.unwrap();
    cluster.ahead.store(600, Ordering::SeqCst);
    let second = renewed(&cluster, &joined.identity).await.unwrap();
    assert_ne!(second.identity.key, joined.identity.key);
    let ends = |of: &Joined| expires_at(&of.identity.certificate).unwrap();
    assert!(ends(&second) >= ends(&joined) + 600);
    // As if the answer had been lost: the old certificate asks once more.
    let third = renewed(&cluster, &joined.identity).await.unwrap();
    let fourth = renewed(&cluster, &third.identity).await.unwrap();
    // Two renewals on, the first certificate has no say.
    let error = renewed(&cluster, &joined.identity).await.unwrap_err();
    cluster.both_say(&error, &["not its newest", "join again"]);
    renewed(&cluster, &fourth.identity).await.unwrap();
    // The first node, which was certified without a token, renews too.
    renewed(&cluster, &cluster.identity).await.unwrap();
    cluster.stop().await;
}

#[tokio::test]
async fn a_deleted_node_neither_renews_nor_returns_with_its_old_token() {
    let cluster = Cluster::start().await;
    let token = cluster.token(1).await;
    let client = cluster.client(&token, "b");
    let key = client.key_pem();
    let joined = ask(client).await.unwrap();
    delete_node(&cluster, "b").await;
    let error = renewed(&cluster, &joined.identity).await.unwrap_err();
    cluster.both_say(&error, &["not a node of this cluster any more"]);
    let replay = cluster.client(&token, "b").with_key(&key).unwrap();
    let error = ask(replay).await.unwrap_err();
    cluster.both_say(&error, &["was used by node b", "tombolo token create"]);
    // The name is free for another host, whose certificate then counts and not the old one.
    let other = cluster.token(1).await;
    cluster.join(&other, "b").await.unwrap();
    let error = renewed(&cluster, &joined.identity).await.unwrap_err();
    cluster.both_say(&error, &["another host has joined under that name"]);
    cluster.stop().await;
}

#[tokio::test]
async fn a_node_that_its_agent_has_filled_keeps_what_it_says_over_a_repetition() {
    let cluster = Cluster::start().await;
    let token = cluster.token(1).await;
    let client = cluster.client(&token, "b");
    let key = client.key_pem();
    ask(client).await.unwrap();
    let at = ResourceKey {
        kind: KindName::Node,
        namespace: None,
        name: name("b"),
    };
    let mut node = cluster.resources.get(&at).await.unwrap().unwrap();
    let version = node.metadata().resource_version;
    node.metadata_mut()
        .labels
        .insert("rack".into(), "r1".into());
    cluster.write(node, version).await;
    ask(cluster.client(&token, "b").with_key(&key).unwrap())
        .await
        .unwrap();
    let node: Resource<Node> = cluster
        .resources
        .get(&at)
        .await
        .unwrap()
        .unwrap()
        .try_into()
        .unwrap();
    assert_eq!(node.metadata.labels["rack"], "r1");
    cluster.stop().await;
}

#[tokio::test]
async fn the_server_shows_a_renewed_certificate_without_a_restart() {
    let cluster = Cluster::start().await;
    let slot = &cluster.slot;
    let fresh = cluster
        .authority
        .issue_node(&name("first"), &[], now())
        .unwrap();
    slot.replace(&fresh).unwrap();
    let broken = KeyAndCert {
        key: cluster.identity.key.clone(),
        ..fresh
    };
    let told = slot.replace(&broken).unwrap_err().to_string();
    assert!(told.contains("pair"), "{told}");
    let token = cluster.token(1).await;
    cluster.join(&token, "b").await.unwrap();
    cluster.stop().await;
}

/// Twenty nodes, each with one of the tokens, of which every one decides before any one writes.
/// Answers how many got in.
async fn race(cluster: &Cluster, tokens: &[JoinToken], node: fn(usize) -> String) -> usize {
    let gate = Gate::new(cluster.resources.store().clone(), 20);
    let gated = Resources::new(Arc::new(gate));
    let enrolment = Arc::new(enrolment(&gated, &cluster.authority, &cluster.ahead));
    let mut racers = tokio::task::JoinSet::new();
    for n in 0..20 {
        let (enrolment, token) = (enrolment.clone(), &tokens[n % tokens.len()]);
        let key = crate::ca::new_key().unwrap();
        let request = JoinRequest {
            token_id: token.id().clone(),
            secret: token.secret().clone(),
            node: name(&node(n)),
            csr: crate::ca::new_csr(&key).unwrap(),
            addresses: vec![],
        };
        let peer = SocketAddr::from(([127, 0, 0, 1], 1));
        racers.spawn(async move { enrolment.join(peer, &request).await.is_ok() });
    }
    racers
        .join_all()
        .await
        .into_iter()
        .filter(|won| *won)
        .count()
}

#[tokio::test]
async fn a_race_for_one_use_has_one_winner() {
    let cluster = Cluster::start().await;
    let token = cluster.token(1).await;
    assert_eq!(
        race(&cluster, std::slice::from_ref(&token), |n| format!("n{n}")).await,
        1
    );
    assert_eq!(cluster.stored(&token).await.spec.used_by.len(), 1);
    cluster.stop().await;
}

#[tokio::test]
async fn a_race_for_one_name_with_many_tokens_has_one_winner() {
    let cluster = Cluster::start().await;
    let mut tokens = Vec::new();
    for _ in 0..20 {
        tokens.push(cluster.token(1).await);
    }
    assert_eq!(race(&cluster, &tokens, |_| "same".to_owned()).await, 1);
    let mut uses = 0;
    for token in &tokens {
        uses += cluster.stored(token).await.spec.used_by.len();
    }
    assert_eq!(uses, 1);
    cluster.stop().await;
}

#[tokio::test]
async fn a_node_that_appears_between_decision_and_write_keeps_its_name() {
    let cluster = Cluster::start().await;
    let token = cluster.token(1).await;
    let gate = Arc::new(Gate::new(cluster.resources.store().clone(), 2));
    let gated = Resources::new(gate.clone());
    let enrolment = enrolment(&gated, &cluster.authority, &cluster.ahead);
    let request = JoinRequest {
        token_id: token.id().clone(),
        secret: token.secret().clone(),
        node: name("b"),
        csr: crate::ca::new_csr(&crate::ca::new_key().unwrap()).unwrap(),
        addresses: vec![],
    };
    let peer = SocketAddr::from(([127, 0, 0, 1], 1));
    let joining = tokio::spawn(async move { enrolment.join(peer, &request).await });
    gate.holds_one().await;
    cluster
        .write(Resource::new(name("b"), Node::default()).into(), None)
        .await;
    // A second write opens the gate.
    tombolo_store::Store::put(&*gate, b"k", "v".into())
        .await
        .unwrap();
    let refusal = joining.await.unwrap().unwrap_err();
    assert_eq!(refusal, Refusal::NameTaken { node: name("b") });
    assert!(cluster.stored(&token).await.spec.used_by.is_empty());
    cluster.stop().await;
}
