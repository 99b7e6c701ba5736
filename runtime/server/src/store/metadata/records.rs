//! What is remembered, as JSON. Fields may be added with `#[serde(default)]`; any other change
//! needs a new format version.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::spec::Digest;

/// An uploaded component.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ComponentRecord {
    pub digest: Digest,
    /// `handler` or `policy`.
    pub kind: String,
    /// The world it was recognised as, for example `wasi:http/proxy@0.2`.
    pub world: String,
    pub size_bytes: u64,
    pub imports: Vec<String>,
    pub exports: Vec<String>,
    /// Unix time.
    pub created_at_ms: u64,
}

/// JSON as it is written: a fifth of what it takes when it is taken apart, and a machine may hold
/// ten thousand of them that nobody looks at.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JsonText(Box<RawValue>);

impl JsonText {
    /// A value as JSON.
    pub fn of(value: &impl Serialize) -> Self {
        JsonText(serde_json::value::to_raw_value(value).expect("it is JSON"))
    }

    /// The value again.
    ///
    /// # Errors
    ///
    /// When it is the JSON of something else.
    pub fn read<T: DeserializeOwned>(&self) -> serde_json::Result<T> {
        serde_json::from_str(self.0.get())
    }
}

impl PartialEq for JsonText {
    fn eq(&self, other: &Self) -> bool {
        self.0.get() == other.0.get()
    }
}

/// A deployment as it was last accepted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeploymentRecord {
    pub name: String,
    pub revision: u64,
    /// The full specification, with all defaults filled in.
    pub spec: JsonText,
    /// None if its replicas are no components.
    #[serde(default)]
    pub component: Option<Digest>,
    pub policy: PolicyUse,
    /// The policies it has had, the live one last. Empty in records from before they were kept.
    #[serde(default)]
    pub policy_versions: Vec<PolicyVersionRecord>,
    /// How many replicas an operator wants, whatever the policy says; none if it decides.
    #[serde(default)]
    pub held: Option<u32>,
    /// The policy that runs beside the live one.
    #[serde(default)]
    pub shadow: Option<PolicyUse>,
    /// Unix time.
    pub created_at_ms: u64,
    /// Unix time.
    pub updated_at_ms: u64,
}

impl DeploymentRecord {
    /// Whether it needs a component, now or to go back to an earlier policy.
    fn uses(&self, digest: &Digest) -> bool {
        let versions = self.policy_versions.iter().map(|version| &version.policy);
        let mut policies = versions.chain(&self.shadow).chain([&self.policy]);
        self.component == Some(*digest) || policies.any(|policy| policy.digest == *digest)
    }
}

/// A policy that scaled a deployment from some time on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PolicyVersionRecord {
    pub version: u64,
    pub policy: PolicyUse,
    /// Unix time.
    pub since_ms: u64,
    /// How it went live: `deploy`, `swap`, `promote` or `rollback`.
    pub via: String,
}

/// The policy that scales a deployment. The digest counts; the name is what it was called then.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PolicyUse {
    pub name: String,
    pub digest: Digest,
    pub config: Value,
}

/// A name for a policy component.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PolicyRecord {
    pub name: String,
    pub digest: Digest,
    /// What the policy says about itself.
    pub description: Value,
    /// Unix time.
    pub created_at_ms: u64,
}

/// The checksum of a file of compiled code.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CodeRecord {
    pub key: String,
    pub checksum: Digest,
}

/// What refers to a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ComponentUser {
    /// The deployment of this name runs it or is scaled by it.
    Deployment(String),
    /// The policy of this name is it.
    Policy(String),
}

impl fmt::Display for ComponentUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deployment(name) => write!(f, "deployment {name}"),
            Self::Policy(name) => write!(f, "policy {name}"),
        }
    }
}

/// A table of the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::store) enum Table {
    Components,
    Deployments,
    Policies,
    Code,
}

impl Table {
    pub(super) const ALL: [Self; 4] =
        [Self::Components, Self::Deployments, Self::Policies, Self::Code];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Components => "components",
            Self::Deployments => "deployments",
            Self::Policies => "policies",
            Self::Code => "code",
        }
    }
}

/// All records in memory, by key.
#[derive(Default)]
pub(in crate::store) struct Rows {
    pub(super) components: BTreeMap<String, ComponentRecord>,
    pub(super) deployments: BTreeMap<String, DeploymentRecord>,
    pub(super) policies: BTreeMap<String, PolicyRecord>,
    pub(super) code: BTreeMap<String, CodeRecord>,
}

impl Rows {
    /// The row as it is stored; None if there is none.
    pub(super) fn to_json(&self, table: Table, key: &str) -> Option<Vec<u8>> {
        match table {
            Table::Components => self.components.get(key).map(Record::to_json),
            Table::Deployments => self.deployments.get(key).map(Record::to_json),
            Table::Policies => self.policies.get(key).map(Record::to_json),
            Table::Code => self.code.get(key).map(Record::to_json),
        }
    }

    pub(super) fn insert_json(
        &mut self,
        table: Table,
        key: &str,
        json: &[u8],
    ) -> Result<(), serde_json::Error> {
        fn insert<R: Record>(rows: &mut Rows, key: &str, json: &[u8]) -> serde_json::Result<()> {
            R::rows_mut(rows).insert(key.to_owned(), serde_json::from_slice(json)?);
            Ok(())
        }
        match table {
            Table::Components => insert::<ComponentRecord>(self, key, json),
            Table::Deployments => insert::<DeploymentRecord>(self, key, json),
            Table::Policies => insert::<PolicyRecord>(self, key, json),
            Table::Code => insert::<CodeRecord>(self, key, json),
        }
    }

    /// Everything that refers to the component: deployments first, each group by name.
    pub(super) fn users(&self, digest: &Digest) -> Vec<ComponentUser> {
        let deployments = self.deployments.values();
        let deployments = deployments.filter(|deployment| deployment.uses(digest));
        let policies = self.policies.values().filter(|policy| policy.digest == *digest);
        deployments
            .map(|deployment| ComponentUser::Deployment(deployment.name.clone()))
            .chain(policies.map(|policy| ComponentUser::Policy(policy.name.clone())))
            .collect()
    }
}

/// What the tables have in common.
pub(in crate::store) trait Record: Clone + Serialize + DeserializeOwned {
    const TABLE: Table;
    /// The word for one row in messages.
    const KIND: &'static str;
    fn key(&self) -> String;
    fn rows(rows: &Rows) -> &BTreeMap<String, Self>;
    fn rows_mut(rows: &mut Rows) -> &mut BTreeMap<String, Self>;

    fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("records have text keys and no failing serializers")
    }
}

macro_rules! record {
    ($record:ident, $kind:literal, $table:ident, $rows:ident, |$it:ident| $key:expr) => {
        impl Record for $record {
            const TABLE: Table = Table::$table;
            const KIND: &'static str = $kind;

            fn key(&self) -> String {
                let $it = self;
                $key
            }

            fn rows(rows: &Rows) -> &BTreeMap<String, Self> {
                &rows.$rows
            }

            fn rows_mut(rows: &mut Rows) -> &mut BTreeMap<String, Self> {
                &mut rows.$rows
            }
        }
    };
}

record!(ComponentRecord, "component", Components, components, |it| it.digest.to_string());
record!(DeploymentRecord, "deployment", Deployments, deployments, |it| it.name.clone());
record!(PolicyRecord, "policy", Policies, policies, |it| it.name.clone());
record!(CodeRecord, "compiled code", Code, code, |it| it.key.clone());
