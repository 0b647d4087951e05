//! The one remote client: another node's embedded store, or a real etcd.
//!
//! One connection at a time, to the first endpoint that answers; when it breaks, the next
//! endpoint is tried, with growing pauses. Every call ends within the timeout. Not being
//! able to connect is retried within it; so is a read whose connection broke. A write
//! whose connection broke is not: it may have happened, and the caller has to look.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tonic::transport::Channel;
use tonic::{Response, Status};

use super::connect::{Address, Refusal, connect};
use super::status::{About, from_status, is_transport};
use super::watching;
use super::wire::{request, response};
use crate::error::{InvalidRequest, StoreError};
use crate::etcd::ClientTls;
use crate::etcd::pb::etcdserverpb as pb;
use crate::store::{Store, WatchStream};
use crate::told::{LeaseGrant, LeaseInfo, StoreStatus, WatchRequest};
use crate::types::{LeaseId, RangeRequest, RangeResponse, Revision, Txn, TxnResponse};

/// The largest answer that is taken: a full list of a large cluster.
const MAX_ANSWER: usize = 256 << 20;

/// The first and the longest pause between attempts to connect.
pub(super) const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// Where the store is and how to get in.
#[derive(Debug, Clone)]
pub struct EtcdConfig {
    /// `host:port`, or with `https://` (`http://` without TLS) before it.
    pub endpoints: Vec<String>,
    /// The certificates; none for an etcd without TLS.
    pub tls: Option<ClientTls>,
    /// How long a call may take in all.
    pub timeout: Duration,
}

/// A store over the network.
#[derive(Clone)]
pub struct EtcdStore {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    addresses: Vec<Address>,
    tls: Option<Arc<rustls::ClientConfig>>,
    pub(super) timeout: Duration,
    current: Mutex<Current>,
}

#[derive(Default)]
struct Current {
    link: Option<Link>,
    /// The address to try first.
    first: usize,
    /// Counts the links, so that one is only dropped by those who saw that one fail.
    made: u64,
}

/// One connection.
#[derive(Clone)]
pub(super) struct Link {
    pub(super) channel: Channel,
    pub(super) endpoint: String,
    refusal: Refusal,
    number: u64,
}

impl EtcdStore {
    /// A client; nothing is connected until it is needed.
    pub fn new(config: EtcdConfig) -> Result<EtcdStore, StoreError> {
        if config.endpoints.is_empty() {
            let why = "no store endpoint is given; name at least one HOST:PORT".to_owned();
            return Err(InvalidRequest::Malformed(why).into());
        }
        let tls = config
            .tls
            .as_ref()
            .map(ClientTls::config)
            .transpose()?
            .map(Arc::new);
        let parse = |text: &String| Address::parse(text, tls.is_some());
        let addresses = config
            .endpoints
            .iter()
            .map(parse)
            .collect::<Result<_, _>>()?;
        let current = Mutex::new(Current::default());
        let inner = Inner {
            addresses,
            tls,
            timeout: config.timeout,
            current,
        };
        Ok(EtcdStore {
            inner: Arc::new(inner),
        })
    }

    async fn call<T, F: Future<Output = Result<Response<T>, Status>>>(
        &self,
        repeatable: bool,
        about: About,
        send: impl Fn(Channel) -> F,
    ) -> Result<T, StoreError> {
        let inner = &self.inner;
        let deadline = Instant::now() + inner.timeout;
        loop {
            let link = inner.link_until(deadline).await?;
            let status = match tokio::time::timeout_at(deadline, send(link.channel.clone())).await {
                Ok(Ok(response)) => return Ok(response.into_inner()),
                Ok(Err(status)) => status,
                Err(_) => {
                    inner.drop_link(&link).await;
                    let cause = format!("no answer within {:?}", inner.timeout);
                    return Err(StoreError::Unavailable {
                        endpoint: link.endpoint,
                        cause,
                    });
                }
            };
            let transport = is_transport(&status);
            let error = inner.failure(&link, &status, about).await;
            let denied = matches!(error, StoreError::Denied { .. });
            if !(transport && repeatable) || denied {
                return Err(error);
            }
            tokio::time::sleep(PAUSE.0).await;
        }
    }
}

impl Inner {
    /// A connection, the present one if it stands; retried until the deadline.
    pub(super) async fn link_until(&self, deadline: Instant) -> Result<Link, StoreError> {
        let mut pause = PAUSE.0;
        loop {
            let error = match tokio::time::timeout_at(deadline, self.link()).await {
                Ok(Ok(link)) => return Ok(link),
                Ok(Err(error)) => error,
                Err(_) => {
                    let all: Vec<&str> = self.addresses.iter().map(Address::authority).collect();
                    let cause = format!("no connection within {:?}", self.timeout);
                    return Err(StoreError::Unavailable {
                        endpoint: all.join(", "),
                        cause,
                    });
                }
            };
            let denied = matches!(error, StoreError::Denied { .. });
            if denied || Instant::now() + pause >= deadline {
                return Err(error);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE.1);
        }
    }

    /// The connection that stands, or a new one to the first endpoint that answers.
    async fn link(&self) -> Result<Link, StoreError> {
        let mut current = self.current.lock().await;
        if let Some(link) = &current.link {
            return Ok(link.clone());
        }
        let count = self.addresses.len();
        let share = self.timeout / u32::try_from(count).unwrap_or(u32::MAX);
        let mut worst: Option<StoreError> = None;
        for offset in 0..count {
            let index = (current.first + offset) % count;
            let address = &self.addresses[index];
            match connect(address, self.tls.clone(), share).await {
                Ok((channel, refusal)) => {
                    current.made += 1;
                    current.first = index;
                    let (endpoint, number) = (address.authority().to_owned(), current.made);
                    let link = Link {
                        channel,
                        endpoint,
                        refusal,
                        number,
                    };
                    current.link = Some(link.clone());
                    return Ok(link);
                }
                // A refusal says more than a silence.
                Err(error) if !matches!(worst, Some(StoreError::Denied { .. })) => {
                    worst = Some(error);
                }
                Err(_) => {}
            }
        }
        Err(worst.expect("there is at least one endpoint, and each has failed"))
    }

    /// Forgets a connection that failed; the next one begins with the next endpoint.
    pub(super) async fn drop_link(&self, failed: &Link) {
        let mut current = self.current.lock().await;
        if current
            .link
            .as_ref()
            .is_some_and(|link| link.number == failed.number)
        {
            current.link = None;
            current.first = (current.first + 1) % self.addresses.len();
        }
    }

    /// What a failed call means; forgets the connection if that was at fault.
    pub(super) async fn failure(&self, link: &Link, status: &Status, about: About) -> StoreError {
        if !is_transport(status) {
            return from_status(status, &link.endpoint, about);
        }
        self.drop_link(link).await;
        let endpoint = link.endpoint.clone();
        match link.refusal.reason() {
            Some(cause) => StoreError::Denied { endpoint, cause },
            None => StoreError::Unavailable {
                endpoint,
                cause: super::connect::chain_of(status),
            },
        }
    }
}

fn kv(channel: Channel) -> pb::kv_client::KvClient<Channel> {
    pb::kv_client::KvClient::new(channel).max_decoding_message_size(MAX_ANSWER)
}

pub(super) fn watch(channel: Channel) -> pb::watch_client::WatchClient<Channel> {
    pb::watch_client::WatchClient::new(channel).max_decoding_message_size(MAX_ANSWER)
}

fn lease(channel: Channel) -> pb::lease_client::LeaseClient<Channel> {
    pb::lease_client::LeaseClient::new(channel).max_decoding_message_size(MAX_ANSWER)
}

fn about_lease(lease: LeaseId) -> About {
    About {
        lease,
        ..About::default()
    }
}

fn ttl(seconds: i64) -> Duration {
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

#[async_trait]
impl Store for EtcdStore {
    async fn range(&self, asked: RangeRequest) -> Result<RangeResponse, StoreError> {
        let about = About {
            revision: asked.revision,
            ..About::default()
        };
        let wire = request::range_to_wire(asked);
        let send = |channel| {
            let wire = wire.clone();
            async move { kv(channel).range(wire).await }
        };
        let found = self.call(true, about, send).await?;
        Ok(response::range_from_wire(found, Revision::NONE))
    }

    async fn txn(&self, txn: Txn) -> Result<TxnResponse, StoreError> {
        let wire = request::txn_to_wire(txn);
        let about = about_lease(request::first_lease(&wire));
        let send = |channel| {
            let wire = wire.clone();
            async move { kv(channel).txn(wire).await }
        };
        let done = self.call(false, about, send).await?;
        Ok(response::txn_from_wire(done, Revision::NONE))
    }

    async fn watch(&self, request: WatchRequest) -> Result<WatchStream, StoreError> {
        watching::start(Arc::clone(&self.inner), request).await
    }

    async fn compact(&self, revision: Revision) -> Result<(), StoreError> {
        let about = About {
            revision,
            ..About::default()
        };
        let send = |channel| async move {
            let request = pb::CompactionRequest {
                revision: revision.0,
                physical: false,
            };
            kv(channel).compact(request).await
        };
        self.call(false, about, send).await.map(|_| ())
    }

    async fn lease_grant(
        &self,
        asked: Duration,
        id: Option<LeaseId>,
    ) -> Result<LeaseGrant, StoreError> {
        let whole = asked.as_secs() + u64::from(asked.subsec_nanos() > 0);
        let seconds = i64::try_from(whole.max(1)).unwrap_or(i64::MAX);
        let id = id.unwrap_or(LeaseId::NONE);
        let send = |channel| async move {
            lease(channel)
                .lease_grant(pb::LeaseGrantRequest {
                    ttl: seconds,
                    id: id.0,
                })
                .await
        };
        let grant = self.call(false, about_lease(id), send).await?;
        Ok(LeaseGrant {
            id: LeaseId(grant.id),
            ttl: ttl(grant.ttl),
        })
    }

    async fn lease_keep_alive(&self, id: LeaseId) -> Result<Duration, StoreError> {
        let send = |channel| async move {
            let once = tokio_stream::once(pb::LeaseKeepAliveRequest { id: id.0 });
            let mut answers = lease(channel).lease_keep_alive(once).await?.into_inner();
            let answer = answers.message().await?;
            let ended = || Status::unavailable("the stream of keep-alives ended without an answer");
            answer.map(Response::new).ok_or_else(ended)
        };
        let answer = self.call(true, about_lease(id), send).await?;
        if answer.ttl <= 0 {
            return Err(StoreError::LeaseNotFound { lease: id });
        }
        Ok(ttl(answer.ttl))
    }

    async fn lease_revoke(&self, id: LeaseId) -> Result<(), StoreError> {
        let send = |channel| async move {
            lease(channel)
                .lease_revoke(pb::LeaseRevokeRequest { id: id.0 })
                .await
        };
        self.call(false, about_lease(id), send).await.map(|_| ())
    }

    async fn lease_time_to_live(&self, id: LeaseId, keys: bool) -> Result<LeaseInfo, StoreError> {
        let send = |channel| async move {
            let request = pb::LeaseTimeToLiveRequest { id: id.0, keys };
            lease(channel).lease_time_to_live(request).await
        };
        let info = self.call(true, about_lease(id), send).await?;
        if info.ttl < 0 {
            return Err(StoreError::LeaseNotFound { lease: id });
        }
        let (granted, remaining) = (ttl(info.granted_ttl), ttl(info.ttl));
        Ok(LeaseInfo {
            id,
            granted,
            remaining,
            keys: info.keys,
        })
    }

    async fn lease_list(&self) -> Result<Vec<LeaseId>, StoreError> {
        let send =
            |channel| async move { lease(channel).lease_leases(pb::LeaseLeasesRequest {}).await };
        let list = self.call(true, About::default(), send).await?;
        let mut leases: Vec<LeaseId> = list.leases.iter().map(|lease| LeaseId(lease.id)).collect();
        leases.sort_unstable();
        Ok(leases)
    }

    async fn status(&self) -> Result<StoreStatus, StoreError> {
        let send = |channel| async move {
            pb::maintenance_client::MaintenanceClient::new(channel)
                .status(pb::StatusRequest {})
                .await
        };
        let status = self.call(true, About::default(), send).await?;
        let header = status.header.unwrap_or_default();
        Ok(StoreStatus {
            revision: Revision(header.revision),
            size: u64::try_from(status.db_size).unwrap_or(0),
            cluster_id: header.cluster_id,
            member_id: header.member_id,
            version: status.version,
            problem: (!status.errors.is_empty()).then(|| status.errors.join("; ")),
        })
    }
}
