//! The envelope that every resource comes in, in the style of Kubernetes.
//!
//! `apiVersion: tombolo.dev/v1`, `kind`, `metadata`, `spec` and, where the agent reports something
//! back, `status`. A [`Resource`] is typed by what it carries; [`AnyResource`] is one of all kinds,
//! as it comes from a file or the store. The key of a resource in the store follows from its kind,
//! namespace and name alone.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::kinds::{
    BgpConfiguration, BgpFilter, BgpPeer, Block, Endpoint, GlobalNetworkPolicy, GlobalNetworkSet,
    Handle, HostEndpoint, IpPool, IpReservation, Learned, Namespace, Network, NetworkPolicy,
    NetworkSet, Node, NodeStatus, Profile, Tier, Token,
};
use crate::names::{Name, SharedNames};

/// The version of the API that this program speaks.
pub const API_VERSION: &str = "tombolo.dev/v1";

/// A fault in a resource: which field, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct FieldError {
    /// The path of the field, as `spec.transport.vni`.
    pub field: String,
    /// What is wrong, with the value, and what is allowed.
    pub message: String,
}

impl FieldError {
    /// A fault of one field.
    #[must_use]
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> FieldError {
        FieldError {
            field: field.into(),
            message: message.into(),
        }
    }
}

/// What a kind must say about itself: its name, and what a valid spec is.
pub trait Kind: Serialize + DeserializeOwned + Clone + PartialEq + fmt::Debug {
    /// The kind's name.
    const KIND: KindName;
    /// What the agent reports back; `()` for kinds that have no status.
    type Status: Serialize + DeserializeOwned + Clone + PartialEq + fmt::Debug + Default;

    /// Checks what the types alone cannot say. Every fault is listed, not only the first.
    fn validate(&self) -> Vec<FieldError>;
}

/// Declares the kinds: the enum of names and the enum of resources, from one table.
macro_rules! kinds {
    ($($variant:ident($spec:ty) = $name:literal, $plural:literal, $namespaced:literal, $internal:literal;)*) => {
        /// The name of a kind.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum KindName {
            $(#[doc = $name] #[serde(rename = $name)] $variant,)*
        }

        impl KindName {
            /// Every kind.
            pub const ALL: &'static [KindName] = &[$(KindName::$variant),*];

            /// As written in `kind:`.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(KindName::$variant => $name),* }
            }

            /// As written on the command line and in the store's keys: lower case, plural.
            #[must_use]
            pub fn plural(self) -> &'static str {
                match self { $(KindName::$variant => $plural),* }
            }

            /// Whether its resources live in a namespace, which is the tenant.
            #[must_use]
            pub fn is_namespaced(self) -> bool {
                match self { $(KindName::$variant => $namespaced),* }
            }

            /// Whether only Tombolo itself writes resources of this kind.
            #[must_use]
            pub fn is_internal(self) -> bool {
                match self { $(KindName::$variant => $internal),* }
            }
        }

        /// A resource of any kind.
        #[derive(Debug, Clone, PartialEq)]
        pub enum AnyResource {
            $(#[doc = $name] $variant(Resource<$spec>),)*
        }

        impl AnyResource {
            /// The metadata.
            #[must_use]
            pub fn metadata(&self) -> &Metadata {
                match self { $(AnyResource::$variant(r) => &r.metadata),* }
            }

            /// The metadata, to be changed.
            pub fn metadata_mut(&mut self) -> &mut Metadata {
                match self { $(AnyResource::$variant(r) => &mut r.metadata),* }
            }

            /// The kind.
            #[must_use]
            pub fn kind(&self) -> KindName {
                match self { $(AnyResource::$variant(_) => KindName::$variant),* }
            }

            /// The faults of its spec.
            #[must_use]
            pub fn validate(&self) -> Vec<FieldError> {
                match self { $(AnyResource::$variant(r) => r.validate()),* }
            }

            /// Reads a resource of this kind from a value with `metadata`, `spec` and `status`.
            ///
            /// # Errors
            /// The path of the field and what is wrong with it.
            pub fn from_value(kind: KindName, value: serde_json::Value) -> Result<AnyResource, FieldError> {
                match kind {
                    $(KindName::$variant => Resource::<$spec>::from_value(value).map(AnyResource::$variant)),*
                }
            }

            /// As a value with `apiVersion`, `kind`, `metadata`, `spec` and `status`.
            #[must_use]
            pub fn to_value(&self) -> serde_json::Value {
                match self { $(AnyResource::$variant(r) => r.to_value()),* }
            }
        }

        $(impl From<Resource<$spec>> for AnyResource {
            fn from(resource: Resource<$spec>) -> AnyResource { AnyResource::$variant(resource) }
        }

        impl TryFrom<AnyResource> for Resource<$spec> {
            type Error = AnyResource;
            fn try_from(any: AnyResource) -> Result<Self, AnyResource> {
                match any { AnyResource::$variant(r) => Ok(r), other => Err(other) }
            }
        })*
    };
}

kinds! {
    // variant                      kind            plural       namespaced  internal
    Node(Node)                   = "Node",          "nodes",          false, false;
    Network(Network)             = "Network",       "networks",       false, false;
    IpPool(IpPool)               = "IPPool",        "ippools",        false, false;
    IpReservation(IpReservation) = "IPReservation", "ipreservations", false, false;
    Namespace(Namespace)         = "Namespace",     "namespaces",     false, false;
    Profile(Profile)             = "Profile",       "profiles",       false, false;
    Tier(Tier)                   = "Tier",          "tiers",          false, false;
    NetworkPolicy(NetworkPolicy) = "NetworkPolicy", "networkpolicies", true, false;
    GlobalNetworkPolicy(GlobalNetworkPolicy) = "GlobalNetworkPolicy", "globalnetworkpolicies", false, false;
    NetworkSet(NetworkSet)       = "NetworkSet",    "networksets",    true,  false;
    GlobalNetworkSet(GlobalNetworkSet) = "GlobalNetworkSet", "globalnetworksets", false, false;
    HostEndpoint(HostEndpoint)   = "HostEndpoint",  "hostendpoints",  false, false;
    BgpConfiguration(BgpConfiguration) = "BGPConfiguration", "bgpconfigurations", false, false;
    BgpPeer(BgpPeer)             = "BGPPeer",       "bgppeers",       false, false;
    BgpFilter(BgpFilter)         = "BGPFilter",     "bgpfilters",     false, false;
    Endpoint(Endpoint)           = "Endpoint",      "endpoints",      true,  true;
    Block(Block)                 = "Block",         "blocks",         false, true;
    Handle(Handle)               = "Handle",        "handles",        false, true;
    Token(Token)                 = "Token",         "tokens",         false, true;
    Learned(Learned)             = "Learned",       "learned",        false, true;
}

impl fmt::Display for KindName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl KindName {
    /// Whether it is in the store. Others are of one agent's memory only.
    #[must_use]
    pub fn is_stored(self) -> bool {
        self != KindName::Learned
    }

    /// Finds a kind by what a person may type: kind, plural or singular, in any case.
    #[must_use]
    pub fn from_word(word: &str) -> Option<KindName> {
        let word = word.to_ascii_lowercase();
        KindName::ALL
            .iter()
            .copied()
            .find(|k| word == k.plural() || word == k.as_str().to_ascii_lowercase())
    }
}

/// What every resource says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Metadata {
    /// The name, unique among its kind (and namespace).
    pub name: Name,
    /// The tenant; only for kinds that have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Name>,
    /// Names and values that selectors look at.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Names and values that nothing in Tombolo looks at.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Tells a resource from a later one of the same name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// The store's revision at which it was last written; none before it was. An update that
    /// carries one succeeds only if it is still the newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_version: Option<i64>,
}

impl Metadata {
    /// Gives the names the texts of equal ones.
    pub(crate) fn share_names(&mut self, shared: &mut SharedNames) {
        shared.share(&mut self.name);
        if let Some(namespace) = &mut self.namespace {
            shared.share(namespace);
        }
    }

    /// Metadata with only a name.
    #[must_use]
    pub fn named(name: Name) -> Metadata {
        Metadata {
            name,
            namespace: None,
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            uid: String::new(),
            resource_version: None,
        }
    }
}

/// A resource of one kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(bound = "", deny_unknown_fields)]
pub struct Resource<S: Kind> {
    /// Name, namespace, labels.
    pub metadata: Metadata,
    /// What is wanted.
    pub spec: S,
    /// What is reported back.
    #[serde(default, skip_serializing_if = "is_default")]
    pub status: S::Status,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl<S: Kind> Resource<S> {
    /// A resource with a name and a spec.
    #[must_use]
    pub fn new(name: Name, spec: S) -> Resource<S> {
        Resource {
            metadata: Metadata::named(name),
            spec,
            status: S::Status::default(),
        }
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.metadata.name
    }

    /// Its key.
    #[must_use]
    pub fn key(&self) -> ResourceKey {
        ResourceKey {
            kind: S::KIND,
            namespace: self.metadata.namespace.clone(),
            name: self.metadata.name.clone(),
        }
    }

    /// Faults of metadata and spec.
    #[must_use]
    pub fn validate(&self) -> Vec<FieldError> {
        let mut faults = Vec::new();
        match (&self.metadata.namespace, S::KIND.is_namespaced()) {
            (Some(namespace), false) => faults.push(FieldError::new(
                "metadata.namespace",
                format!(
                    "{namespace:?} given, but a {} has no namespace; remove it",
                    S::KIND
                ),
            )),
            (None, true) => faults.push(FieldError::new(
                "metadata.namespace",
                format!("missing: a {} lives in a namespace", S::KIND),
            )),
            _ => {}
        }
        faults.extend(self.spec.validate());
        faults
    }

    /// Reads it from a value without `apiVersion` and `kind`.
    ///
    /// # Errors
    /// The path of the field and what is wrong with it.
    pub fn from_value(value: serde_json::Value) -> Result<Resource<S>, FieldError> {
        serde_path_to_error::deserialize(value)
            .map_err(|e| FieldError::new(e.path().to_string(), e.inner().to_string()))
    }

    /// As a value with `apiVersion` and `kind`.
    #[must_use]
    pub fn to_value(&self) -> serde_json::Value {
        let mut whole = serde_json::Map::new();
        whole.insert("apiVersion".into(), API_VERSION.into());
        whole.insert("kind".into(), S::KIND.as_str().into());
        if let Ok(serde_json::Value::Object(body)) = serde_json::to_value(self) {
            whole.extend(body);
        }
        serde_json::Value::Object(whole)
    }
}

/// What identifies a resource: kind, namespace, name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ResourceKey {
    /// The kind.
    pub kind: KindName,
    /// The tenant, for kinds that have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Name>,
    /// The name.
    pub name: Name,
}

impl fmt::Display for ResourceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} {namespace}/{}", self.kind, self.name),
            None => write!(f, "{} {}", self.kind, self.name),
        }
    }
}

impl AnyResource {
    /// Its key.
    #[must_use]
    pub fn key(&self) -> ResourceKey {
        let metadata = self.metadata();
        ResourceKey {
            kind: self.kind(),
            namespace: metadata.namespace.clone(),
            name: metadata.name.clone(),
        }
    }
}

/// Kinds without a status use `()`; a node reports what it does.
impl Kind for Node {
    const KIND: KindName = KindName::Node;
    type Status = NodeStatus;

    fn validate(&self) -> Vec<FieldError> {
        self.faults()
    }
}

/// Implements [`Kind`] for a spec without status whose faults are found by `faults()`.
macro_rules! without_status {
    ($($spec:ident),*) => {$(
        impl Kind for $spec {
            const KIND: KindName = KindName::$spec;
            type Status = ();

            fn validate(&self) -> Vec<FieldError> {
                self.faults()
            }
        }
    )*};
}

without_status!(
    Network,
    IpPool,
    IpReservation,
    Namespace,
    Profile,
    Tier,
    NetworkPolicy,
    GlobalNetworkPolicy,
    NetworkSet,
    GlobalNetworkSet,
    HostEndpoint,
    BgpConfiguration,
    BgpPeer,
    BgpFilter,
    Endpoint,
    Block,
    Handle,
    Token,
    Learned
);
